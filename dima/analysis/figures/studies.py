"""Drawing studies of world models.

A figure a study, one colour a method, intervals over seeds, and below it what they are.
"""

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
    decorate,
    draw_along,
    draw_bars,
    finish,
    is_first_column,
    make_panels,
    method_handles,
    order_looks,
    order_name,
    whole_numbers,
)
from dima.analysis.figures.style import OTHER_COLOR, looks_of
from dima.analysis.studies.points import MethodPoints

_MARKERS = "os^Dv<>P"
_FLOOR = (0, (4, 2))
_SHORT_FLOOR = (0, (2, 1))
_POINTS_IN_HALF_A_FIGURE = 12
"""Above this, gains of one method take the whole width, unless there are so many methods that the figure
would become too high."""
_METHODS_ON_A_DIAGONAL = 3
"""Above this, points of well calibrated methods would hide one another."""
_DODGED_DIMENSIONS = 24
"""Above this, dimensions are too narrow to hold the methods side by side."""
_LOGARITHMIC_FROM = 30.0
"""Ratio of the largest to the smallest error of a dimension above which small ones could not be seen."""


def prediction_figure(title: str, methods: Sequence[MethodPoints]) -> Figure:
    """Error against horizon on training and held-out segments, and below it dimension by dimension at the
    longest horizon.
    """
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
        axis.set_title(
            f"{'training' if split == 'train' else split} segments, mean over dimensions", fontsize=9
        )
        decorate(
            axis, "horizon (steps)", "cumulative L1 error\n(observation units)" if split == "train" else ""
        )
        axis.xaxis.set_major_locator(whole_numbers(5))
    panels["train"].set_ylim(bottom=0)  # of both, and after both are drawn, because it ends the scaling
    panels["held-out"].tick_params(labelleft=False)
    _draw_dimensions(panels["dimensions"], methods, looks)
    figure.suptitle(f"Open-loop prediction error, {title}", fontsize=11)
    floor = Line2D(
        [], [], color=OTHER_COLOR, linestyle=_FLOOR, linewidth=1.1, label="state decoder on true states"
    )
    finish(
        figure,
        [*method_handles(methods, looks), floor],
        methods,
        _together(methods)["interval"],
        "line, point: mean",
        "band, bar",
    )
    return figure


def orders_figure(title: str, methods: Sequence[MethodPoints]) -> Figure:
    """Error against horizon, a line an order of the agents, a panel a method."""
    shown = [method for method in methods if method.seeds]
    figure, axes = make_panels(len(shown), columns=3, width=2.6, height=2.5)
    looks = order_looks(_together(shown)["order"])
    for axis, method in zip(axes, shown, strict=True):
        for index, (order, look) in enumerate(looks.items()):
            # markers at horizons of its own, so that a line is seen where another one lies on it
            marks = {"markersize": 3.5, "markevery": (index, len(looks))}
            draw_along(axis, method.select("error", order=order), "horizon", look | marks)
        axis.set_title(method.label, fontsize=9)
        decorate(
            axis,
            "horizon (steps)",
            "cumulative L1 error\na dimension\n(observation units)" if is_first_column(axis) else "",
        )
        axis.xaxis.set_major_locator(whole_numbers(5))
    axes[0].set_ylim(bottom=0)  # of all, and after all are drawn, because it ends the scaling
    figure.suptitle(f"Prediction error by order of the agents, {title}", fontsize=11)
    handles: list[Artist] = [
        Line2D([], [], label=order_name(order), markersize=4, **look) for order, look in looks.items()
    ]
    finish(figure, handles, methods, _together(shown)["interval"], "line: mean on held-out segments", "band")
    return figure


def gain_figure(title: str, methods: Sequence[MethodPoints]) -> Figure:
    """Action gain of every agent under every order.

    Orders along x, in each the agents from the one revealed first to the last one.
    """
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
        axis.axhline(1, color="#555555", linewidth=0.9, linestyle=(0, (5, 2)), zorder=1)
        axis.axhline(0, color="#555555", linewidth=0.9, zorder=1)
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
        decorate(axis, "order of the agents", "action gain (ratio)" if is_first_column(axis) else "")
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
    """Observed against predicted means in bins of the prediction, of reward and of termination.

    Many methods have a panel each.
    """
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
            for method in reversed(group):  # the grid's first method lies on top
                _draw_calibration(
                    axis,
                    method.select("predicted", kind=kind),
                    method.select("observed", kind=kind),
                    looks[method.method],
                )
            axis.set_title(kind if together else f"{kind}\n{group[0].method}", fontsize=9)
            decorate(
                axis, f"predicted {unit}", f"observed {unit}" if together or is_first_column(axis) else ""
            )
        _draw_diagonals(panels, 5 if together else 3, lowest=0.0 if kind == "termination" else None)
    figure.suptitle(f"Calibration of the reward model, {title}", fontsize=11)
    points = _together(shown)
    intervals = points[points["quantity"] == "observed"]["interval"]
    handles = method_handles(methods, looks)
    finish(
        figure,
        handles,
        methods,
        intervals,
        "point: mean in a bin of the prediction",
        "bar",
        "dashes: predicted as observed",
    )
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
            points = method.select("error", split="held-out", kind=kind, horizon=horizon).query(
                "dimension != 'mean'"
            )
            points = points.astype({"dimension": int}).sort_values("dimension")
            means = points["mean"]
            count = max(count, len(points))
            smallest, largest = min([smallest, *means]), max([largest, *means])
            if count > _DODGED_DIMENSIONS:
                draw_along(
                    axis,
                    points,
                    "dimension",
                    {"color": color, "linewidth": 0.9, "linestyle": _FLOOR if kind == "decoder" else "-"},
                )
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
    decorate(axis, "dimension of an agent's observation", "cumulative L1 error\n(observation units)")
    axis.set_xlim(-0.6, count - 0.4)
    axis.xaxis.set_major_locator(whole_numbers(20))
    axis.xaxis.grid(visible=False)


def _draw_gains(axis: Axes, place: int, points: pd.DataFrame, looks: Mapping[Any, Mapping[str, Any]]) -> None:
    """One order: agents from the one whose action is revealed first, joined by a line where there is such an
    order.
    """
    step = 0.72 / max(len(points), 3)
    points = points.sort_values(["position", "agent"]).assign(
        x=place + (np.arange(len(points)) - (len(points) - 1) / 2) * step
    )
    if (points["position"].to_numpy() > 0).all():
        axis.plot(points["x"], points["mean"], color="#BBBBBB", linewidth=1.0, zorder=1)
    for agent, own in points.groupby("agent"):
        draw_bars(axis, own["x"].to_numpy(), own, {"markersize": 5, **looks[agent]})


def _draw_calibration(
    axis: Axes, predicted: pd.DataFrame, observed: pd.DataFrame, look: Mapping[str, Any]
) -> None:
    if len(predicted):
        axis.plot(
            predicted["mean"], observed["mean"], color=look["color"], linewidth=0.8, alpha=0.6, zorder=1
        )
        draw_bars(axis, predicted["mean"].to_numpy(), observed, look)


def _draw_diagonals(axes: Sequence[Axes], ticks: int, lowest: float | None) -> None:
    """The diagonal in panels that all have one range on both axes, where there is something to see.

    `lowest`: no value is below it.
    """
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
            axis.axline(
                (low, low), (high, high), color="#555555", linewidth=0.9, linestyle=(0, (5, 2)), zorder=0
            )
        else:
            axis.text(
                0.5,
                0.5,
                "no steps",
                transform=axis.transAxes,
                ha="center",
                va="center",
                color=OTHER_COLOR,
                fontsize=11,
            )


FIGURES: Mapping[str, Callable[[str, Sequence[MethodPoints]], Figure]] = {
    "prediction": prediction_figure,
    "orders": orders_figure,
    "gain": gain_figure,
    "calibration": calibration_figure,
}
