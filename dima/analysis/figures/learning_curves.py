"""Learning curves: a panel a task, a line with its band a method, and the paper's final return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from dima.analysis.figures.style import add_legend, draw_line, label_axes, looks_of, wrap, write_in_middle
from dima.analysis.returns.curves import Curve, Panel

_MAX_COLUMNS = 4
# in inches
_PANEL_WIDTH = 3.0
_LEGEND_ENTRY = 1.1


def draw_curves(title: str, panels: Sequence[Panel]) -> Figure:
    """A panel a task, at most four in a row, with one legend and caption below."""
    columns = min(_MAX_COLUMNS, len(panels))
    rows = ceil(len(panels) / columns)
    curves = [curve for panel in panels for curve in panel.curves]
    looks = looks_of(dict.fromkeys(curve.method for curve in curves))
    width = max(_PANEL_WIDTH * columns, 6.5)
    figure = Figure(figsize=(width, 2.5 * rows + 1.0), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for index, (axis, panel) in enumerate(zip(axes, panels, strict=False)):
        _draw_panel(axis, panel, looks)
        label_axes(
            axis,
            "environment steps" if index + columns >= len(panels) else None,
            "evaluation return\n(reward per episode)" if index % columns == 0 else None,
        )
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle(title, fontsize=11)
    handles = [Line2D([], [], label=method, **look) for method, look in looks.items()]
    add_legend(figure, handles, _caption(curves), max(1, min(len(handles), int(width / _LEGEND_ENTRY))))
    return figure


def _draw_panel(axis: Axes, panel: Panel, looks: Mapping[str, dict[str, Any]]) -> None:
    budget = panel.task.env_steps
    for curve in reversed(panel.curves):  # the grid's first method is drawn on top
        look = looks[curve.method]
        draw_line(axis, curve.steps, curve.mean, (curve.low, curve.high), **look)
        if curve.paper is not None:
            dash = {"colors": look["color"], "linestyles": (0, (1.5, 0.7)), "linewidth": 1.6}
            axis.hlines(curve.paper, 1.02 * budget, 1.1 * budget, **dash)
    axis.set_title(_panel_title(panel), fontsize=9)
    axis.set_xlim(0, (1.12 if any(curve.paper is not None for curve in panel.curves) else 1.0) * budget)
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    if not panel.curves:
        axis.grid(visible=False)
        axis.set_yticks([])
        write_in_middle(axis, panel.silence)


def _panel_title(panel: Panel) -> str:
    """The task with its numbers of seeds, and below it the methods without a curve."""
    if not panel.curves:
        return panel.task.label
    lines = [f"{panel.task.label} ({panel.seeds})"]
    if panel.without_curve:
        lines.append(f"no curve: {', '.join(panel.without_curve)}")
    return wrap(lines, _PANEL_WIDTH)


def _caption(curves: Sequence[Curve]) -> list[str]:
    """The meaning of line, band and dashes."""
    if not curves:
        return ["no completed runs"]
    bands = {
        frozenset({True}): "95 % stratified bootstrap interval",
        frozenset({False}): "minimum to maximum (n < 3)",
        frozenset({True, False}): "95 % stratified bootstrap interval, minimum to maximum where n < 3",
    }
    band = bands[frozenset(curve.has_interval for curve in curves)]
    lines = [f"line: mean over n completed seeds; band: {band}"]
    if any(curve.paper is not None for curve in curves):
        lines.append("dashes at the right: the paper's final return")
    return lines
