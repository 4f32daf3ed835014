"""Line charts as SVG: where everything lies, in the units of the drawing; the template only writes it down.

The values stand in a table of the page, a column a line, from which the page's script reads what it shows of
a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import NamedTuple

from matplotlib.ticker import EngFormatter, MaxNLocator

WIDTH = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 8, 24
_PAPER_MARK = 14
"""Length of the dash at the right that marks the paper's number."""

Values = Sequence[float | None]


@dataclass(frozen=True)
class Series:
    """One line: values over `steps`, None where there is none, the band around them, and the paper's
    number.
    """

    label: str
    steps: Sequence[float]
    mean: Values
    low: Values | None = None
    high: Values | None = None
    paper: float | None = None


class Tick(NamedTuple):
    """A position along an axis and its label."""

    at: float
    label: str


class Line(NamedTuple):
    """A series as drawn: paths of line and band, points without a neighbour to be joined with, the height of
    the paper's mark.
    """

    label: str
    path: str
    band: str
    dots: list[tuple[float, float]]
    paper: float | None


@dataclass(frozen=True)
class Chart:
    """A drawing `WIDTH` wide.

    Attributes:
        height: of the drawing.
        box: of the axes: left, top, right, bottom.
        domain: what its edges are: first and last environment step, lowest and highest value.
        x_ticks: along the steps.
        y_ticks: along the values.
        lines: one a series.
    """

    height: int
    box: tuple[int, int, int, int]
    domain: tuple[float, float, float, float]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]


def make_chart(series: Sequence[Series], last_step: float, height: int = 230) -> Chart:
    """The chart of lines over 0 to `last_step` environment steps."""
    marks = any(line.paper is not None for line in series)
    box = (_LEFT, _TOP, WIDTH - _RIGHT - (_PAPER_MARK if marks else 0), height - _BOTTOM)
    low, high = _range(series)
    domain = (0.0, float(last_step), low, high)
    x_ticks = [
        tick
        for tick in MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0, last_step)
        if 0 <= tick <= last_step
    ]
    y_ticks = [
        tick for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high
    ]
    steps_label, decimals = EngFormatter(sep=""), _decimals(y_ticks)
    return Chart(
        height,
        box,
        domain,
        [Tick(_x(tick, box, domain), steps_label(tick)) for tick in x_ticks],
        [Tick(_y(tick, box, domain), _label(tick, decimals)) for tick in y_ticks],
        [_line(line, box, domain) for line in series],
    )


def _range(series: Sequence[Series]) -> tuple[float, float]:
    """The values' least and greatest, with some room around."""
    found = [
        value
        for line in series
        for values in (line.mean, line.low, line.high, [line.paper])
        for value in values or ()
    ]
    finite = [value for value in found if value is not None and isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _line(series: Series, box: tuple[int, int, int, int], domain: tuple[float, float, float, float]) -> Line:
    across = [_x(step, box, domain) for step in series.steps]
    runs = [
        list(zip(at, _heights(values, box, domain), strict=True)) for at, values in _runs(across, series.mean)
    ]
    band = ""
    if series.low is not None and series.high is not None:
        for (at, lows), (_, highs) in zip(_runs(across, series.low), _runs(across, series.high), strict=True):
            edge = [
                *zip(at, _heights(highs, box, domain), strict=True),
                *reversed([*zip(at, _heights(lows, box, domain), strict=True)]),
            ]
            band += f"{_path(edge)}Z" if len(at) > 1 else ""
    return Line(
        label=series.label,
        path="".join(_path(run) for run in runs if len(run) > 1),
        band=band,
        dots=[run[0] for run in runs if len(run) == 1],
        paper=None if series.paper is None else _y(series.paper, box, domain),
    )


def _runs(across: Sequence[float], values: Values) -> list[tuple[list[float], list[float]]]:
    """Positions and values of the points that follow one another without a gap."""
    runs: list[tuple[list[float], list[float]]] = [([], [])]
    for at, value in zip(across, values, strict=True):
        if value is None:
            runs.append(([], []))
        else:
            runs[-1][0].append(at)
            runs[-1][1].append(value)
    return [run for run in runs if run[0]]


def _heights(
    values: Sequence[float], box: tuple[int, int, int, int], domain: tuple[float, float, float, float]
) -> list[float]:
    return [_y(value, box, domain) for value in values]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points)


def _x(step: float, box: tuple[int, int, int, int], domain: tuple[float, float, float, float]) -> float:
    first, last = domain[:2]
    return round(box[0] + (step - first) / ((last - first) or 1.0) * (box[2] - box[0]), 1)


def _y(value: float, box: tuple[int, int, int, int], domain: tuple[float, float, float, float]) -> float:
    low, high = domain[2:]
    return round(box[3] - (value - low) / (high - low) * (box[3] - box[1]), 1)


def _decimals(ticks: Sequence[float]) -> int | None:
    """Digits behind the point that tell the ticks apart.

    None where that takes too many or the numbers are too long.
    """
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    decimals = max(0, -floor(log10(step) + 1e-9))
    return None if decimals > 4 or max(map(abs, ticks), default=0.0) >= 1e6 else decimals


def _label(value: float, decimals: int | None) -> str:
    return f"{value:.1e}" if decimals is None else f"{value + 0.0:,.{decimals}f}"
