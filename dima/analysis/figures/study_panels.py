"""Shared parts of the figures of studies: panels, lines with bands, looks of orders, legends."""

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

from dima.analysis.figures.style import OTHER_COLOR, add_legend, draw_line, label_axes
from dima.analysis.studies.points import Interval, MethodPoints

# Tol's muted palette, whose colours no method has in the same figure
_ORDER_LOOKS = {
    "descending": {"color": "#332288", "marker": "o"},
    "ascending": {"color": "#CC6677", "marker": "s"},
    "random": {"color": "#999933", "marker": "^"},
    "none": {"color": OTHER_COLOR, "marker": "x"},
}
_OTHER_ORDERS = [
    {"color": "#44AA99", "marker": "D"},
    {"color": "#AA4499", "marker": "v"},
    {"color": "#88CCEE", "marker": "P"},
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


def whole_numbers(most: int) -> MaxNLocator:
    """At most so many ticks, at whole numbers."""
    return MaxNLocator(most, integer=True, steps=[1, 2, 5, 10])


def draw_orders(axis: Axes, method: MethodPoints, looks: Mapping[str, dict[str, Any]], y: str) -> None:
    """Error against horizon, a line an order of the agents."""
    for index, (order, look) in enumerate(looks.items()):
        # markers at different horizons, so that a line shows where another one covers it
        marks = {"markersize": 3.5, "markevery": (index, len(looks))}
        draw_along(axis, method.select("error", order=order), "horizon", look | marks)
    label_axes(axis, "horizon (steps)", y)
    axis.xaxis.set_major_locator(whole_numbers(5))


def order_handles(looks: Mapping[str, dict[str, Any]]) -> list[Artist]:
    """A legend's entries of the orders."""
    return [Line2D([], [], label=order_name(order), markersize=4, **look) for order, look in looks.items()]


def draw_along(axis: Axes, points: pd.DataFrame, column: str, look: Mapping[str, Any]) -> None:
    """The line of the points along a column of the key, if there are any."""
    if len(points):
        points = points.astype({column: float}).sort_values(column)
        x, mean, low, high = (points[name].to_numpy() for name in (column, "mean", "low", "high"))
        draw_line(axis, x, mean, (low, high), **look)


def draw_bars(
    axis: Axes, x: Float[np.ndarray, " points"], points: pd.DataFrame, look: Mapping[str, Any]
) -> None:
    """The means as markers and their intervals as bars, which need not contain the mean."""
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
    """The name of the order in legends and labels."""
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
    """The legend, and a caption with what is drawn, its intervals and the methods without a file."""
    lines = [f"{mean} over n seeds of those planned", f"{mark}: {interval_words(intervals)}", *more]
    without = [method.label for method in methods if not method.seeds]
    if without:
        lines.append(f"without this study: {', '.join(without)}")
    labels = [str(handle.get_label()) for handle in handles]
    add_legend(figure, handles, lines, _columns(labels, figure.get_figwidth()))


def interval_words(intervals: Iterable[str]) -> str:
    """The kinds of intervals in words."""
    drawn = set(intervals)
    words = ", ".join(text for interval, text in _INTERVALS.items() if interval in drawn) or "none (n~=~1)"
    return words.replace("~", "\N{NO-BREAK SPACE}")


def _columns(labels: Sequence[str], width: float) -> int:
    """The number of columns with which the legend is lowest within the width, and then narrowest."""
    count = len(labels)
    for rows in range(1, count):
        columns = ceil(count / rows)
        # matplotlib fills column after column, the first ones with one entry more
        parts = np.array_split(np.arange(count), columns)
        if sum(_HANDLE + _CHARACTER * max(len(labels[index]) for index in part) for part in parts) <= width:
            return columns
    return 1
