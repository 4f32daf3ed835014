"""Drawing: the style, legend and file formats of every figure, one colour a method, and learning curves as panels in a grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from math import ceil
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator
from matplotlib.transforms import Bbox

from dima.analysis.curves import Curve, Panel
from dima.analysis.replace_file import replace_file

# Okabe and Ito's palette, told apart with any colour vision; the variants of DIMA take Tol's muted one, likewise
_COLORS = {
    "dima": "#0072B2",
    "dima-joint": "#E69F00",
    "marie": "#D55E00",
    "mamba": "#009E73",
    "hasac": "#CC79A7",
    "happo": "#56B4E9",
    "mappo": "#000000",
    "dima-cumulative": "#117733",
    "dima-fast": "#88CCEE",
    "dima-mlp": "#882255",
    "dima-no-offset-noise": "#999933",
    "dima-one-substep": "#CC6677",
    "dima-small-encoder": "#332288",
    "dima-unscaled-start": "#44AA99",
    "dima-vq": "#AA4499",
}
OTHER_COLOR = "#7F7F7F"
_STYLE = {"svg.hashsalt": "dima", "pdf.fonttype": 42, "font.family": "DejaVu Sans", "savefig.dpi": 150, "grid.color": "#E8E8E8"}
# keeps the time of writing out of the file
_METADATA = {".pdf": {"CreationDate": None}, ".png": {}, ".svg": {"Date": None}}
_MAX_COLUMNS = 4
# in inches, but for the number of characters of the font used for titles and captions
_PANEL_WIDTH = 3.0
_LEGEND_ENTRY = 1.1
_CHARACTERS_PER_INCH = 12


@contextmanager
def style() -> Iterator[None]:
    """Settings under which a figure looks the same, and is saved with the same bytes, whatever the user's own matplotlib settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        sns.set_theme(context="paper", style="whitegrid", rc=_STYLE)
        yield


def draw(title: str, panels: Sequence[Panel]) -> Figure:
    """A panel a task, at most four beside each other, and below them one legend for all, which also says what the band is."""
    columns = min(_MAX_COLUMNS, len(panels))
    rows = ceil(len(panels) / columns)
    curves = [curve for panel in panels for curve in panel.curves]
    looks = looks_of(dict.fromkeys(curve.method for curve in curves))
    width = max(_PANEL_WIDTH * columns, 6.5)
    figure = Figure(figsize=(width, 2.5 * rows + 1.0), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for index, (axis, panel) in enumerate(zip(axes, panels, strict=False)):
        _draw_panel(axis, panel, looks)
        if index % columns == 0:
            axis.set_ylabel("evaluation return\n(reward per episode)", fontsize=9)
        if index + columns >= len(panels):
            axis.set_xlabel("environment steps", fontsize=9)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle(title, fontsize=11)
    handles = [Line2D([], [], label=method, **look) for method, look in looks.items()]
    add_legend(figure, handles, _caption(curves), max(1, min(len(handles), int(width / _LEGEND_ENTRY))))
    return figure


def add_legend(figure: Figure, handles: Sequence[Artist], caption: Sequence[str], columns: int) -> None:
    """One legend below all panels, under the lines of the caption."""
    text = wrap(caption, figure.get_figwidth())
    legend = figure.legend(handles=handles, title=text, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    legend.get_title().set(multialignment="center", fontsize=9)


def stamp(figure: Figure, label: str | None) -> None:
    """Say across a figure and below its title that what it shows is synthetic, in the words of the records; nothing without a label."""
    if label is None:
        return
    title = "" if figure.get_suptitle() is None else f"{figure.get_suptitle()}\n"
    figure.suptitle(title + wrap([label], figure.get_figwidth()), fontsize=11)
    size = min(10 * figure.get_figwidth(), 17 * figure.get_figheight())  # in points, at which the slanted word fits either way
    figure.text(0.5, 0.5, "SYNTHETIC", rotation=30, ha="center", va="center", fontsize=size, color=OTHER_COLOR, alpha=0.25, zorder=10)


def save_figure(figure: Figure, paths: Iterable[Path], dpi: int | None = None) -> list[Path]:
    """Write the figure to each path, in the format of its ending, with bytes that depend on what is drawn alone; returns the paths.

    `dpi` is that of pixels, also of those within a PDF or SVG; by default the style's.
    """
    _settle(figure)
    return [replace_file(path, partial(figure.savefig, metadata=_METADATA[path.suffix], dpi=dpi)) for path in paths]


def _settle(figure: Figure) -> None:
    """Lay the figure out once, to a millionth of its size.

    The solver's last digits differ from process to process, and names within an SVG are made of all digits.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in figure.subfigs:
        part.bbox_relative.set_points(np.round(part.bbox_relative.get_points(), 6))
    for axis in figure.axes:
        axis.set_position(Bbox(np.round(axis.get_position(original=True).get_points(), 6)))


def looks_of(methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and line of each method: its fixed colour, or grey with a dash pattern of its own."""
    dashes = cycle([":", "-.", (0, (5, 1, 1, 1, 1, 1))])
    return {
        method: {"color": _COLORS[method], "linestyle": "-"} if method in _COLORS else {"color": OTHER_COLOR, "linestyle": next(dashes)}
        for method in methods
    }


def _draw_panel(axis: Axes, panel: Panel, looks: Mapping[str, dict[str, Any]]) -> None:
    budget = panel.task.env_steps
    for curve in reversed(panel.curves):  # the grid's first method lies on top
        look = looks[curve.method]
        sns.lineplot(x=curve.steps, y=curve.mean, ax=axis, errorbar=None, linewidth=1.4, **look)
        axis.fill_between(curve.steps, curve.low, curve.high, color=look["color"], alpha=0.18, linewidth=0)
        if curve.paper is not None:
            axis.hlines(curve.paper, 1.02 * budget, 1.1 * budget, colors=look["color"], linestyles=(0, (1.5, 0.7)), linewidth=1.6)
    axis.set_title(_panel_title(panel), fontsize=9)
    axis.set_xlim(0, (1.12 if any(curve.paper is not None for curve in panel.curves) else 1.0) * budget)
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.tick_params(labelsize=8)
    if not panel.curves:
        axis.grid(visible=False)
        axis.set_yticks([])
        axis.text(0.5, 0.5, panel.silence, transform=axis.transAxes, ha="center", va="center", color=OTHER_COLOR, fontsize=11)


def _panel_title(panel: Panel) -> str:
    """The task and n: the commonest number of seeds, the methods that have another one, and below those that have no curve."""
    if not panel.curves:
        return panel.task.label
    commonest = Counter(curve.seeds for curve in panel.curves).most_common(1)[0][0]
    others = "".join(f", {curve.method}\N{NO-BREAK SPACE}{curve.seeds}" for curve in panel.curves if curve.seeds != commonest)
    lines = [f"{panel.task.label} (n = {commonest}{others})"]
    if panel.without_curve:
        lines.append(f"no curve: {', '.join(panel.without_curve)}")
    return wrap(lines, _PANEL_WIDTH)


def _caption(curves: Sequence[Curve]) -> list[str]:
    """What line, band and dashes are in this figure."""
    if not curves:
        return ["no completed runs"]
    bands = {
        frozenset({True}): "95 % stratified bootstrap interval",
        frozenset({False}): "minimum to maximum (n < 3)",
        frozenset({True, False}): "95 % stratified bootstrap interval, minimum to maximum where n < 3",
    }
    band = bands[frozenset(curve.has_interval for curve in curves)]
    dashes = ["dashes at the right: the paper's final return"] if any(curve.paper is not None for curve in curves) else []
    return [f"line: mean over n completed seeds; band: {band}", *dashes]


def wrap(lines: Sequence[str], inches: float) -> str:
    """The lines as one text, those that are longer than `inches` broken."""
    return "\n".join(fill(line, int(_CHARACTERS_PER_INCH * inches), break_on_hyphens=False) for line in lines)
