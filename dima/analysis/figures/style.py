"""The style, legend and file formats of every figure, and the colour of each method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from jaxtyping import Shaped
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from dima.record.files import replacing

# Okabe and Ito's palette, and Tol's muted one for the variants of DIMA: distinct with any colour vision
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
_STYLE = {
    "svg.hashsalt": "dima",
    "pdf.fonttype": 42,
    "font.family": "DejaVu Sans",
    "savefig.dpi": 150,
    "grid.color": "#E8E8E8",
}
# keeps the time of writing out of the file
_METADATA = {".pdf": {"CreationDate": None}, ".png": {}, ".svg": {"Date": None}}
_CHARACTERS_PER_INCH = 12
Points = Shaped[np.ndarray, " points"]


@contextmanager
def style() -> Iterator[None]:
    """Settings under which a figure has the same bytes whatever the user's matplotlib settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        sns.set_theme(context="paper", style="whitegrid", rc=_STYLE)
        yield


def draw_line(axis: Axes, x: Points, mean: Points, band: tuple[Points, Points] | None, **look: Any) -> None:
    """A line through the means, and a band between the bounds of their intervals if there are any."""
    edge = {"markeredgecolor": look["color"], "markeredgewidth": 1.0}  # seaborn's own is white
    sns.lineplot(x=x, y=mean, ax=axis, errorbar=None, **{"linewidth": 1.4, **edge, **look})
    if band:
        axis.fill_between(x, *band, color=look["color"], alpha=0.18, linewidth=0)


def write_in_middle(axis: Axes, text: str, color: str = OTHER_COLOR, size: float = 11) -> None:
    """Write a text in the middle of a panel."""
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", color=color, fontsize=size)


def label_axes(axis: Axes, x: str | None, y: str | None) -> None:
    """Label the axes of a panel, None: not at all, and set the size of the numbers along them."""
    if x is not None:
        axis.set_xlabel(x, fontsize=9)
    if y is not None:
        axis.set_ylabel(y, fontsize=9)
    axis.tick_params(labelsize=8)


def add_legend(figure: Figure, handles: Sequence[Artist], caption: Sequence[str], columns: int) -> None:
    """One legend below all panels, under the lines of the caption."""
    text = wrap(caption, figure.get_figwidth())
    legend = figure.legend(
        handles=handles, title=text, loc="outside lower center", ncols=columns, frameon=False, fontsize=9
    )
    legend.get_title().set(multialignment="center", fontsize=9)


def stamp(figure: Figure, label: str | None) -> None:
    """Mark a figure of synthetic records across it and below its title; without a label, do nothing."""
    if label is None:
        return
    title = "" if figure.get_suptitle() is None else f"{figure.get_suptitle()}\n"
    figure.suptitle(title + wrap([label], figure.get_figwidth()), fontsize=11)
    # in points, at which the slanted word fits either way
    size = min(10 * figure.get_figwidth(), 17 * figure.get_figheight())
    look = {"fontsize": size, "color": OTHER_COLOR, "alpha": 0.25, "zorder": 10}
    figure.text(0.5, 0.5, "SYNTHETIC", rotation=30, ha="center", va="center", **look)


def save_figure(figure: Figure, paths: Iterable[Path], dpi: int | None = None) -> list[Path]:
    """Write the figure to each path, in the format of its ending, with reproducible bytes; returns the paths.

    `dpi` applies to pixels, also within a PDF or SVG; by default the style's.
    """
    _settle(figure)
    written = list(paths)
    for path in written:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside:
            figure.savefig(aside, metadata=_METADATA[path.suffix], dpi=dpi)
    return written


def _settle(figure: Figure) -> None:
    """Lay the figure out once, rounded to a millionth of its size.

    The solver's last digits differ between processes, and names within an SVG contain all digits.
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
        method: {"color": _COLORS[method], "linestyle": "-"}
        if method in _COLORS
        else {"color": OTHER_COLOR, "linestyle": next(dashes)}
        for method in methods
    }


def wrap(lines: Sequence[str], inches: float) -> str:
    """The lines as one text, each broken at the width of `inches`."""
    return "\n".join(fill(line, int(_CHARACTERS_PER_INCH * inches), break_on_hyphens=False) for line in lines)
