"""Line charts as SVG: positions in the units of the drawing, for the template.

The values are in a table of the page, a column a line; the page's script reads them there.
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
    """One line: values over `steps`, None for gaps, the bounds of its band, and the paper's number."""

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
    """A series as drawn: paths of line and band, single points as dots, the height of the paper's mark."""

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
        domain: of its edges: first and last environment step, lowest and highest value.
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
    low, high = _range(series)
    frame = _Frame(
        (_LEFT, _TOP, WIDTH - _RIGHT - (_PAPER_MARK if marks else 0), height - _BOTTOM),
        (0.0, float(last_step), low, high),
    )
    y_ticks = _ticks(5, low, high)
    steps_label, decimals = EngFormatter(sep=""), _decimals(y_ticks)
    return Chart(
        height,
        frame.box,
        frame.domain,
        [Tick(frame.x(tick), steps_label(tick)) for tick in _ticks(4, 0, last_step)],
        [Tick(frame.y(tick), _label(tick, decimals)) for tick in y_ticks],
        [_line(line, frame) for line in series],
    )


class _Frame(NamedTuple):
    """The axes of a chart, see `Chart`."""

    box: tuple[int, int, int, int]
    domain: tuple[float, float, float, float]

    def x(self, step: float) -> float:
        left, _, right, _ = self.box
        first, last, _, _ = self.domain
        return round(left + (step - first) / ((last - first) or 1.0) * (right - left), 1)

    def y(self, value: float) -> float:
        _, top, _, bottom = self.box
        _, _, low, high = self.domain
        return round(bottom - (value - low) / (high - low) * (bottom - top), 1)


def _ticks(most: int, low: float, high: float) -> list[float]:
    ticks = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [tick for tick in ticks if low <= tick <= high]


def _range(series: Sequence[Series]) -> tuple[float, float]:
    """The least and greatest value, with some room around."""
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


def _line(series: Series, frame: _Frame) -> Line:
    runs = _runs(series.steps, series.mean, frame)
    band = ""
    if series.low is not None and series.high is not None:
        lows, highs = (_runs(series.steps, values, frame) for values in (series.low, series.high))
        edges = [[*high, *reversed(low)] for low, high in zip(lows, highs, strict=True) if len(low) > 1]
        band = "".join(f"{_path(edge)}Z" for edge in edges)
    return Line(
        label=series.label,
        path="".join(_path(run) for run in runs if len(run) > 1),
        band=band,
        dots=[run[0] for run in runs if len(run) == 1],
        paper=None if series.paper is None else frame.y(series.paper),
    )


def _runs(steps: Sequence[float], values: Values, frame: _Frame) -> list[list[tuple[float, float]]]:
    """The points of the drawing, apart where a value is missing."""
    runs: list[list[tuple[float, float]]] = [[]]
    for step, value in zip(steps, values, strict=True):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((frame.x(step), frame.y(value)))
    return [run for run in runs if run]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points)


def _decimals(ticks: Sequence[float]) -> int | None:
    """Decimals that distinguish the ticks, None where the numbers would be too long."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    decimals = max(0, -floor(log10(step) + 1e-9))
    return None if decimals > 4 or max(map(abs, ticks), default=0.0) >= 1e6 else decimals


def _label(value: float, decimals: int | None) -> str:
    return f"{value:.1e}" if decimals is None else f"{value + 0.0:,.{decimals}f}"
