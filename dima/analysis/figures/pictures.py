"""Drawing what world models imagine: the paper's figures 6 (frames) and 7 (errors by order of the agents)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch

from dima.analysis.figures.study_panels import (
    draw_orders,
    interval_words,
    order_handles,
    order_looks,
    order_name,
)
from dima.analysis.figures.style import add_legend, wrap, write_in_middle
from dima.analysis.records.load import CellRecord
from dima.analysis.studies.frames import Frames
from dima.analysis.studies.pictured_cells import OrderedMethod, PicturedCell

_BOX = "#CC3311"
"""The red of Tol's vibrant palette, no method's colour; a box is also thicker and its error bold."""
PICTURE_DPI = 200
"""A frame keeps about its own number of pixels."""
_WORD_COLOR = "#595959"
_BOX_WORDS = "red box: further off than if nothing had moved"
# in inches
_FRAME = 1.25
_LABELS = 1.15
_ERROR_LINE = 0.28
_HEADING = 0.45
_CURVES = 3.1
_LEAST_CURVES = 3.0
_WORDS = 4.6
_LINE = 0.165
_ROLLED_OUT = "rolled out from step t of the policy's episode along its actions"
_ERRORS = (
    "below a frame: mean |imagined - real| of an observed number, in its units, over agents and numbers",
    "below a real frame: the same for saying that nothing moves after t",
)


@dataclass(frozen=True)
class _Row:
    """A row of pictures, the errors below them and which have a box; without pictures, `words`."""

    label: str
    pictures: UInt8[np.ndarray, "steps height width 3"] | None
    errors: Sequence[float] = ()
    boxed: Sequence[bool] = ()
    words: str = ""

    @property
    def height(self) -> float:
        """In inches."""
        return _LINE * (2.5 + self.words.count("\n")) if self.pictures is None else _FRAME + _ERROR_LINE


def imagination_figure(title: str, cells: Sequence[PicturedCell]) -> Figure:
    """Real frames above the imagined ones, a block for all methods with the same steps of an episode."""
    blocks = _blocks(cells)
    frames = [cell.frames for cell in cells if cell.frames]
    words = [
        f"a row: the world model of its method's first planned seed, {_ROLLED_OUT}",
        *_frame_words(frames),
    ]
    caption = [*words, *_origins(cell.record for cell in cells)]
    rows = [_method_rows(block) for block in blocks]
    heights = [_HEADING + sum(row.height for row in own) for own in rows]
    columns = _columns(frames)
    figure = _figure(_LABELS + _FRAME * columns, sum(heights), caption)
    parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, block, own in zip(parts, blocks, rows, strict=True):
        part.suptitle(wrap([_heading(block)], figure.get_figwidth()), fontsize=9)
        _draw_rows(part, own, _first_frames(block), columns)
    figure.suptitle(title, fontsize=11)
    add_legend(figure, _handles(frames), caption, 1)
    return figure


def order_figure(title: str, methods: Sequence[OrderedMethod]) -> Figure:
    """A block a method: left frames of the first seed by order of the agents, right errors over the seeds."""
    frames = [method.cell.frames for method in methods if method.cell.frames]
    points = pd.concat([method.points.points for method in methods])
    line = "line: mean over n seeds of those planned, each on segments of new episodes"
    words = [f"frames: the first planned seed, {_ROLLED_OUT}", *_frame_words(frames)]
    words += [line, f"band: {interval_words(points['interval'])}"] if len(points) else []
    caption = [*words, *_origins(record for method in methods for record in method.records)]
    rows = [_order_rows(method.cell) for method in methods]
    heights = [_HEADING + max(sum(row.height for row in own), _LEAST_CURVES) for own in rows]
    columns = _columns(frames)
    left = _LABELS + _FRAME * columns
    figure = _figure(left + _CURVES, sum(heights), caption)
    parts = figure.subfigures(
        len(methods), 2, squeeze=False, height_ratios=heights, width_ratios=[left, _CURVES]
    )
    looks = order_looks(points["order"])
    for (pictures, curves), own, method in zip(parts, rows, methods, strict=True):
        key = method.cell.key
        heading = f"{key.method} seed {key.seed} on {_heading([method.cell])}"
        pictures.suptitle(wrap([heading], left), fontsize=9)
        _draw_rows(pictures, own, method.cell.frames, columns)
        _draw_curves(curves.subplots(), method, looks)
    figure.suptitle(title, fontsize=11)
    add_legend(figure, _handles(frames), caption, 1)
    return figure


def _figure(width: float, height: float, caption: Sequence[str]) -> Figure:
    """A figure for pictures of this height in inches, with room for title, caption and legend."""
    width = max(width, 6.5)
    lines = wrap(caption, width).count("\n") + 1
    return Figure(figsize=(width, height + _LINE * lines + 0.65), layout="constrained")


def _columns(frames: Iterable[Frames]) -> int:
    return max((len(one.steps) for one in frames), default=4)


def _blocks(cells: Sequence[PicturedCell]) -> list[list[PicturedCell]]:
    """The cells of a task together, or apart where their frames show other steps."""
    blocks: list[list[PicturedCell]] = []
    for cell in cells:
        for block in blocks:
            frames = _first_frames(block)
            same = not cell.frames or not frames or cell.frames.shows_what(frames)
            if block[0].key.task == cell.key.task and same:
                block.append(cell)
                break
        else:
            blocks.append([cell])
    return blocks


def _first_frames(block: Iterable[PicturedCell]) -> Frames | None:
    return next((cell.frames for cell in block if cell.frames), None)


def _heading(block: Sequence[PicturedCell]) -> str:
    """The task, the episode and the step in it."""
    task, frames = block[0].task, _first_frames(block)
    scene = f"; policy: {frames.episode}; t\u00a0=\u00a0{frames.start}" if frames else ""
    return f"{task.label}, preset {task.preset}{scene}"


def _real_row(frames: Frames | None) -> _Row:
    if frames is None:
        return _Row("real", None, words="not made")
    return _Row("real", frames.real, frames.still.tolist(), [False] * len(frames.steps))


def _imagined_row(frames: Frames, index: int, label: str) -> _Row:
    error = frames.error[index]
    boxed = (error > frames.still).tolist()  # never of NaN
    return _Row(label, frames.imagined[index], error.tolist(), boxed)


def _method_rows(block: Sequence[PicturedCell]) -> list[_Row]:
    rows = [_real_row(_first_frames(block))]
    for cell in block:
        if cell.frames is None:
            rows.append(_absent_row(cell))
        else:
            order = cell.frames.names[0]
            label = [cell.key.method, f"seed {cell.key.seed}", *([] if order == "none" else [order])]
            rows.append(_imagined_row(cell.frames, 0, "\n".join(label)))
    return rows


def _order_rows(cell: PicturedCell) -> list[_Row]:
    frames = cell.frames
    if frames is None:
        return [_real_row(None), _absent_row(cell)]
    own, *others = frames.names
    labels = [order_name(own) if own == "none" else f"{own}\n(as trained)", *others]
    return [_real_row(frames), *(_imagined_row(frames, index, label) for index, label in enumerate(labels))]


def _absent_row(cell: PicturedCell) -> _Row:
    return _Row(f"{cell.key.method}\nseed {cell.key.seed}", None, words=wrap([cell.absence], _WORDS))


def _draw_rows(part: SubFigure, rows: Sequence[_Row], frames: Frames | None, columns: int) -> None:
    grid = part.add_gridspec(len(rows), columns, height_ratios=[row.height for row in rows])
    for place, row in enumerate(rows):
        if row.pictures is None:
            axis = part.add_subplot(grid[place, :])
            write_in_middle(axis, row.words, _WORD_COLOR, 9)
            _strip(axis, "#BBBBBB", 0.8)
            axis.set_facecolor("#F4F4F4")
            _label(axis, row.label)
            continue
        pictures = zip(row.pictures, row.errors, row.boxed, strict=True)
        for column, (picture, error, boxed) in enumerate(pictures):
            axis = part.add_subplot(grid[place, column])
            _draw_frame(axis, picture, error, boxed)
            if place == 0 and frames:
                axis.set_title(f"t + {frames.steps[column]}", fontsize=9)
            if column == 0:
                _label(axis, row.label)


def _draw_frame(axis: Axes, picture: UInt8[np.ndarray, "height width 3"], error: float, boxed: bool) -> None:
    axis.imshow(picture)
    _strip(axis, _BOX if boxed else "#BBBBBB", 2.6 if boxed else 0.8)
    if np.isnan(error):
        write_in_middle(axis, "not\nimagined", _WORD_COLOR, 8)
    text = "" if np.isnan(error) else f"{error:#.3g}".rstrip(".")
    axis.set_xlabel(text, fontsize=8, labelpad=2, fontweight="bold" if boxed else "normal")


def _strip(axis: Axes, color: str, width: float) -> None:
    """Leave nothing but a border of this colour and width."""
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set(visible=True, color=color, linewidth=width)


def _label(axis: Axes, text: str) -> None:
    axis.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=9, labelpad=5)


def _draw_curves(axis: Axes, method: OrderedMethod, looks: dict[str, dict]) -> None:
    points = method.points
    own = set(points.points["order"])
    drawn = {order: look for order, look in looks.items() if order in own}
    draw_orders(axis, points, drawn, "cumulative L1 error a dimension\n(observation units)")
    missing = [f"without: {method.sample.missing}"] if method.sample.missing else []
    axis.set_title(wrap([points.label, *missing], _CURVES - 0.6), fontsize=9)
    axis.set_box_aspect(1.15)
    if drawn:
        axis.set_ylim(bottom=0)
        # sums grow from 0: nothing is drawn in that corner
        axis.legend(handles=order_handles(drawn), loc="upper left", fontsize=8)
        return
    axis.grid(visible=False)
    axis.set(xticks=[], yticks=[])
    silence = method.sample.mixture or (
        "not made" if any(record.state == "completed" for record in method.records) else "not run"
    )
    write_in_middle(axis, wrap([silence], 2.0))


def _handles(frames: Sequence[Frames]) -> list[Artist]:
    box = Patch(facecolor="none", edgecolor=_BOX, linewidth=2, label=_BOX_WORDS)
    return [box] if _is_boxed(frames) else []


def _is_boxed(frames: Sequence[Frames]) -> bool:
    return any((one.error > one.still).any() for one in frames)


def _frame_words(frames: Sequence[Frames]) -> list[str]:
    if not frames:
        return ["no frames"]
    none = [] if _is_boxed(frames) else ["no box: no imagined frame is further off than that"]
    return [*_ERRORS, *none]


def _origins(records: Iterable[CellRecord]) -> list[str]:
    """The physics of the cells that were trained."""
    lineages = dict.fromkeys(record.summary.lineage for record in records if record.summary)
    return [f"physics (lineage): {', '.join(lineages)}"] if lineages else []
