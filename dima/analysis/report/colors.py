"""A colour a method for the light and the dark page: the figures' colour, made legible."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.colors import to_hex, to_rgb

from dima.analysis.figures.style import looks_of

LIGHT, DARK = "#ffffff", "#14171c"
"""The backgrounds in style.css."""
LEAST_CONTRAST = {LIGHT: 3.0, DARK: 4.5}
"""Of lines with their background (WCAG 2.2, 1.4.11); more on the dark one, where thin lines look dimmer."""
_STEPS = 50


def method_colors(methods: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The colours of each method, on the light page and on the dark one."""
    colors = {method: look["color"] for method, look in looks_of(methods).items()}
    return {method: (legible(color, LIGHT), legible(color, DARK)) for method, color in colors.items()}


def legible(color: str, background: str) -> str:
    """The colour with the least black (on a light background) or white that gives `LEAST_CONTRAST`."""
    towards = 0.0 if _luminance(background) > 0.5 else 1.0
    for step in range(_STEPS + 1):
        share = step / _STEPS
        red, green, blue = ((1 - share) * channel + share * towards for channel in to_rgb(color))
        mixed = to_hex((red, green, blue))
        if contrast(mixed, background) >= LEAST_CONTRAST[background]:
            return mixed
    raise AssertionError("black on light and white on dark have enough contrast")


def contrast(one: str, other: str) -> float:
    """From 1, equal, to 21, black and white (WCAG 2.2)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in to_rgb(color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
