"""Drawing studies of world models: a figure a study, one colour a method, intervals over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dima.analysis.figures.study_panels import (
    draw_along,
    draw_bars,
    draw_orders,
    finish,
    is_first_column,
    make_panels,
    method_handles,
    order_handles,
    order_looks,
    order_name,
    whole_numbers,
)
from dima.analysis.figures.style import OTHER_COLOR, label_axes, looks_of, write_in_middle
from dima.analysis.studies.points import MethodPoints

_MARKERS = "os^Dv<>P"
_FLOOR = (0, (4, 2))
_SHORT_FLOOR = (0, (2, 1))
_MARK: dict[str, Any] = {"color": "#555555", "linewidth": 0.9}
_DASHES = (0, (5, 2))
_POINTS_IN_HALF_A_FIGURE = 12
"""With more, gains of one method take the whole width, unless many methods would make the figure too high."""
_METHODS_ON_A_DIAGONAL = 3
"""With more, points of well calibrated methods would hide one another."""
_DODGED_DIMENSIONS = 24
"""With more, dimensions are too narrow to show the methods side by side."""
_LOGARITHMIC_FROM = 30.0
"""Ratio of the largest to the smallest error of a dimension above which small ones could not be seen."""
_ERROR = "cumulative L1 error\n(observation units)"


def prediction_figure(title: str, methods: Sequence[MethodPoints]) -> Figure:
    """Error against horizon on training and held-out segments, and each dimension at the longest horizon."""
    figure = Figure(figsize=(6.5, 5.4), layout="constrained")
    panels = figure.subplot_mosaic([["train", "held-out"], ["dimensions", "dimensions"]])
    panels["held-out"].sharey(panels["train"])
    looks = looks_of(method.method for method in methods if method.seeds)
    for split in ("train", "held-out"):
        axis = panels[split]
        for method in reversed(methods):
            for kind, changes in (("model", {}), ("decoder", {"linestyle": _FLOOR, "linewidth": 1.1})):
                points = method.select("error", split=split, kind=kind, dimension="mean")
                draw_along(axis, points, "horizon", looks.get(method.method, {}) | changes)
        name = "training" if split == "train" else split
        axis.set_title(f"{name} segments, mean over dimensions", fontsize=9)
        label_axes(axis, "horizon (steps)", _ERROR if split == "train" else "")
        axis.xaxis.set_major_locator(whole_numbers(5))
    panels["train"].set_ylim(bottom=0)  # of both, and after both are drawn, because it ends the scaling
    panels["held-out"].tick_params(labelleft=False)
    _draw_dimensions(panels["dimensions"], methods, looks)
    figure.suptitle(f"Open-loop prediction error, {title}", fontsize=11)
    floor = {"color": OTHER_COLOR, "linestyle": _FLOOR, "linewidth": 1.1}
    handles = [*method_handles(methods, looks), Line2D([], [], label="state decoder on true states", **floor)]
    finish(figure, handles, methods, _together(methods)["interval"], "line, point: mean", "band, bar")
    return figure


def orders_figure(title: str, methods: Sequence[MethodPoints]) -> Figure:
    """Error against horizon, a line an order of the agents, a panel a method."""
    shown = [method for method in methods if method.seeds]
    figure, axes = make_panels(len(shown), columns=3, width=2.6, height=2.5)
    looks = order_looks(_together(shown)["order"])
    for axis, method in zip(axes, shown, strict=True):
        y = "cumulative L1 error\na dimension\n(observation units)"
        draw_orders(axis, method, looks, y if is_first_column(axis) else "")
        axis.set_title(method.label, fontsize=9)
    axes[0].set_ylim(bottom=0)  # of all, and after all are drawn, because it ends the scaling
    figure.suptitle(f"Prediction error by order of the agents, {title}", fontsize=11)
    mean = "line: mean on held-out segments"
    finish(figure, order_handles(looks), methods, _together(shown)["interval"], mean, "band")
    return figure


def gain_figure(title: str, methods: Sequence[MethodPoints]) -> Figure:
    """Action gain of every agent under every order along x, agents in the order of their revelation."""
    shown = [method for method in methods if method.seeds]
    points = _together(shown)
    orders, agents = list(order_looks(points["order"])), sorted(points["agent"].unique())
    colors = colormaps["viridis"](np.linspace(0.0, 0.82, len(agents)))
    looks = {
        agent: {"color": color, "marker": marker}
        for agent, color, marker in zip(agents, colors, cycle(_MARKERS), strict=False)
    }
    widest = max(len(method.select("gain")) for method in shown)
    columns = 2 if widest <= _POINTS_IN_HALF_A_FIGURE or len(shown) > 3 else 1
    figure, axes = make_panels(len(shown), columns=columns, width=6.5 / columns, height=2.6)
    for axis, method in zip(axes, shown, strict=True):
        axis.axhline(1, linestyle=_DASHES, zorder=1, **_MARK)
        axis.axhline(0, zorder=1, **_MARK)
        own = [order for order in orders if order in set(method.points["order"])]
        for place, order in enumerate(own):
            _draw_gains(axis, place, method.select("gain", order=order), looks)
        axis.set_xticks(range(len(own)), [order_name(order) for order in own])
        middle, half = (len(own) - 1) / 2, widest / len(agents) / 2  # an order is as wide in every panel
        axis.set_xlim(middle - half, middle + half)
        axis.xaxis.grid(visible=False)
        for border in range(1, len(own)):
            axis.axvline(border - 0.5, color="#E8E8E8", linewidth=0.8, zorder=0)
        axis.set_title(method.label, fontsize=9)
        label_axes(axis, "order of the agents", "action gain (ratio)" if is_first_column(axis) else "")
    figure.suptitle(f"Action gain of each agent, {title}", fontsize=11)
    handles: list[Artist] = [
        Line2D([], [], label=f"agent {agent}", linestyle="", markersize=5, **look)
        for agent, look in looks.items()
    ]
    intervals = points[points["quantity"] == "gain"]["interval"]
    explanation = (
        "gain 1 (dashes): next state changes as in the simulator; 0: action ignored",
        "left to right: revealed first to revealed last; not joined: no fixed order",
    )
    finish(figure, handles, methods, intervals, "point: mean", "bar", *explanation)
    return figure


def calibration_figure(title: str, methods: Sequence[MethodPoints]) -> Figure:
    """Observed against predicted reward and termination in bins; many methods have a panel each."""
    shown = [method for method in methods if method.seeds]
    together = len(shown) <= _METHODS_ON_A_DIAGONAL
    groups = [shown] if together else [[method] for method in shown]
    columns, width, height = (2, 3.25, 3.5) if together else (4, 2.0, 2.3)
    places = 1 if together else ceil(len(groups) / columns) * columns  # termination begins a row of its own
    figure, axes = make_panels(2 * places, columns, width, height, sharey=False)
    for axis in [*axes[len(groups) : places], *axes[places + len(groups) :]]:
        axis.set_visible(False)
    looks = looks_of(method.method for method in shown)
    for look, marker in zip(looks.values(), cycle(_MARKERS), strict=False):
        look.update(marker=marker, markersize=4)
    end = "probability of an end" if together else "probability\nof an end"
    for first, kind, unit in ((0, "reward", "reward per step"), (places, "termination", end)):
        panels = axes[first : first + len(groups)]
        for axis, group in zip(panels, groups, strict=True):
            for method in reversed(group):  # the grid's first method is drawn on top
                _draw_calibration(axis, method, kind, looks[method.method])
            axis.set_title(kind if together else f"{kind}\n{group[0].method}", fontsize=9)
            y = f"observed {unit}" if together or is_first_column(axis) else ""
            label_axes(axis, f"predicted {unit}", y)
        _draw_diagonals(panels, 5 if together else 3, lowest=0.0 if kind == "termination" else None)
    figure.suptitle(f"Calibration of the reward model, {title}", fontsize=11)
    points = _together(shown)
    intervals = points[points["quantity"] == "observed"]["interval"]
    handles, mean = method_handles(methods, looks), "point: mean in a bin of the prediction"
    finish(figure, handles, methods, intervals, mean, "bar", "dashes: predicted as observed")
    return figure


def _together(methods: Sequence[MethodPoints]) -> pd.DataFrame:
    """The points of all methods that have any."""
    return pd.concat([method.points for method in methods if method.seeds])


def _draw_dimensions(
    axis: Axes, methods: Sequence[MethodPoints], looks: Mapping[str, dict[str, Any]]
) -> None:
    """Held-out errors of every dimension at the longest horizon."""
    horizon = int(_together(methods)["horizon"].to_numpy().max())
    count, smallest, largest = 0, np.inf, 0.0
    shown = [method for method in methods if method.method in looks]
    for place, method in enumerate(shown):
        color = looks[method.method]["color"]
        for kind in ("decoder", "model"):
            points = method.select("error", split="held-out", kind=kind, horizon=horizon)
            points = points.query("dimension != 'mean'").astype({"dimension": int}).sort_values("dimension")
            means = points["mean"]
            count = max(count, len(points))
            smallest, largest = min([smallest, *means]), max([largest, *means])
            if count > _DODGED_DIMENSIONS:
                look = {"color": color, "linewidth": 0.9, "linestyle": _FLOOR if kind == "decoder" else "-"}
                draw_along(axis, points, "dimension", look)
                continue
            x = points["dimension"] + (place - (len(shown) - 1) / 2) * 0.7 / len(shown)
            if kind == "model":
                draw_bars(axis, x.to_numpy(), points, {"color": color, "marker": "o"})
            else:
                half = 0.3 / len(shown)
                axis.hlines(means, x - half, x + half, colors=color, linestyles=_SHORT_FLOOR, linewidth=1.1)
    if smallest > 0 and largest > _LOGARITHMIC_FROM * smallest:
        axis.set_yscale("log")
    else:
        axis.set_ylim(bottom=0)
    axis.set_title(f"held-out segments, each dimension at horizon {horizon}", fontsize=9)
    label_axes(axis, "dimension of an agent's observation", _ERROR)
    axis.set_xlim(-0.6, count - 0.4)
    axis.xaxis.set_major_locator(whole_numbers(20))
    axis.xaxis.grid(visible=False)


def _draw_gains(axis: Axes, place: int, points: pd.DataFrame, looks: Mapping[Any, Mapping[str, Any]]) -> None:
    """One order: agents from the one revealed first to the last, joined by a line if the order is fixed."""
    step = 0.72 / max(len(points), 3)
    x = place + (np.arange(len(points)) - (len(points) - 1) / 2) * step
    points = points.sort_values(["position", "agent"]).assign(x=x)
    if (points["position"].to_numpy() > 0).all():
        axis.plot(points["x"], points["mean"], color="#BBBBBB", linewidth=1.0, zorder=1)
    for agent, own in points.groupby("agent"):
        draw_bars(axis, own["x"].to_numpy(), own, {"markersize": 5, **looks[agent]})


def _draw_calibration(axis: Axes, method: MethodPoints, kind: str, look: Mapping[str, Any]) -> None:
    predicted, observed = (method.select(quantity, kind=kind) for quantity in ("predicted", "observed"))
    if len(predicted):
        line = {"color": look["color"], "linewidth": 0.8, "alpha": 0.6, "zorder": 1}
        axis.plot(predicted["mean"], observed["mean"], **line)
        draw_bars(axis, predicted["mean"].to_numpy(), observed, look)


def _draw_diagonals(axes: Sequence[Axes], ticks: int, lowest: float | None) -> None:
    """Give panels one range on both axes, and the diagonal to those with points; no value < `lowest`."""
    drawn = [axis for axis in axes if axis.lines]
    limits = [limit for axis in drawn for limit in (*axis.get_xlim(), *axis.get_ylim())] or [0.0, 1.0]
    low, high = min(limits), max(limits)
    if lowest is not None:
        low = lowest - 0.04 * (high - lowest)
    for axis in axes:
        axis.set(xlim=(low, high), ylim=(low, high), box_aspect=1)
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_locator(MaxNLocator(ticks))
        if axis in drawn:
            axis.axline((low, low), (high, high), linestyle=_DASHES, zorder=0, **_MARK)
        else:
            write_in_middle(axis, "no steps")


FIGURES: Mapping[str, Callable[[str, Sequence[MethodPoints]], Figure]] = {
    "prediction": prediction_figure,
    "orders": orders_figure,
    "gain": gain_figure,
    "calibration": calibration_figure,
}
