"""What the figures of studies share.

Their panels, lines with bands, the looks of orders, and the legend with what intervals are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dima.analysis.figures.style import OTHER_COLOR, add_legend, draw_line
from dima.analysis.studies.points import Interval, MethodPoints

# Tol's muted palette; orders are no methods, and take none of a method's colours in the same figure
_ORDER_LOOKS = {
    "descending": {"color": "#332288", "marker": "o"},
    "ascending": {"color": "#CC6677", "marker": "s"},
    "random": {"color": "#999933", "marker": "^"},
    "none": {"color": OTHER_COLOR, "marker": "x"},
}
_OTHER_ORDERS = [
    {"color": color, "marker": marker}
    for color, marker in (("#44AA99", "D"), ("#AA4499", "v"), ("#88CCEE", "P"))
]
# in inches, of a legend's entry
_HANDLE = 0.65
_CHARACTER = 0.062
# ~ is a space that no line is broken at
_INTERVALS = {
    Interval.BOOTSTRAP: "95~% bootstrap interval over seeds",
    Interval.RANGE: "minimum to maximum (n~<~3)",
    Interval.CELL: "95~% interval within the cell (n~=~1)",
}


def make_panels(
    count: int, columns: int, width: float, height: float, sharey: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, each this wide and high in inches, and those panels."""
    columns = min(columns, count)
    rows = ceil(count / columns)
    figure = Figure(figsize=(max(6.5, width * columns), height * rows + 1.0), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=sharey).flatten()
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, list(axes[:count])


def is_first_column(axis: Axes) -> bool:
    """Whether the panel is at the left of its figure."""
    place = axis.get_subplotspec()
    return place is None or place.is_first_col()


def decorate(axis: Axes, x: str, y: str) -> None:
    """Label the axes, at the sizes that all figures of studies have."""
    axis.set_xlabel(x, fontsize=9)
    axis.set_ylabel(y, fontsize=9)
    axis.tick_params(labelsize=8)


def whole_numbers(most: int) -> MaxNLocator:
    """Ticks at whole numbers, at most so many."""
    return MaxNLocator(most, integer=True, steps=[1, 2, 5, 10])


def draw_along(axis: Axes, points: pd.DataFrame, column: str, look: Mapping[str, Any]) -> None:
    """The line of the points along a column of the key; nothing where there is none."""
    if len(points):
        points = points.astype({column: float}).sort_values(column)
        x, mean, low, high = (points[name].to_numpy() for name in (column, "mean", "low", "high"))
        draw_line(axis, x, mean, (low, high), **look)


def draw_bars(
    axis: Axes, x: Float[np.ndarray, " points"], points: pd.DataFrame, look: Mapping[str, Any]
) -> None:
    """The means as markers, and their intervals as bars, which need not hold the mean."""
    axis.vlines(x, points["low"], points["high"], colors=look["color"], linewidth=1.1, zorder=2)
    axis.plot(x, points["mean"], zorder=3, **{"linestyle": "", "markersize": 4, **look})


def order_looks(orders: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each order: the named ones first, then the lists as they come."""
    orders = dict.fromkeys(orders)
    lists = [order for order in orders if order not in _ORDER_LOOKS]
    return {order: look for order, look in _ORDER_LOOKS.items() if order in orders} | dict(
        zip(lists, cycle(_OTHER_ORDERS), strict=False)
    )


def order_name(order: str) -> str:
    """The order as legends and labels name it."""
    return "no order" if order == "none" else order


def method_handles(methods: Sequence[MethodPoints], looks: Mapping[str, dict[str, Any]]) -> list[Artist]:
    """A legend's entries: the methods that have points."""
    return [Line2D([], [], label=method.label, **looks[method.method]) for method in methods if method.seeds]


def finish(
    figure: Figure,
    handles: Sequence[Artist],
    methods: Sequence[MethodPoints],
    intervals: Iterable[str],
    mean: str,
    mark: str,
    *more: str,
) -> None:
    """The legend, and in words what is drawn, what its intervals are and which methods there is no file
    of.
    """
    lines = [f"{mean} over n seeds of those planned", f"{mark}: {interval_words(intervals)}", *more]
    without = [method.label for method in methods if not method.seeds]
    if without:
        lines.append(f"without this study: {', '.join(without)}")
    labels = [str(handle.get_label()) for handle in handles]
    add_legend(figure, handles, lines, _columns(labels, figure.get_figwidth()))


def interval_words(intervals: Iterable[str]) -> str:
    """What the intervals of points are."""
    drawn = set(intervals)
    words = ", ".join(text for interval, text in _INTERVALS.items() if interval in drawn) or "none (n~=~1)"
    return words.replace("~", "\N{NO-BREAK SPACE}")


def _columns(labels: Sequence[str], width: float) -> int:
    """In how many columns a legend with these labels is as low as it can be within the width, and then as
    narrow as it can be.
    """
    count = len(labels)
    for rows in range(1, count):
        columns = ceil(count / rows)
        # matplotlib fills column after column, the first ones with one entry more
        parts = np.array_split(np.arange(count), columns)
        if sum(_HANDLE + _CHARACTER * max(len(labels[index]) for index in part) for part in parts) <= width:
            return columns
    return 1
