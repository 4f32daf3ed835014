"""What the figures of world models show: frames and errors of cells, and why some have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dima.analysis.paths import first_seeds, no_study
from dima.analysis.records.files import Records
from dima.analysis.records.load import CellRecord, by_task_and_method, load_cells
from dima.analysis.returns.sample import Sample, study_sample
from dima.analysis.studies.files import refuse_mixture, study_of
from dima.analysis.studies.frames import Frames, read_frames
from dima.analysis.studies.over_seeds import points_over_seeds
from dima.analysis.studies.points import MethodPoints
from dima.config import TaskConfig
from dima.config.grid import CellKey, Grid
from dima.config.studied import FRAMES


@dataclass(frozen=True)
class PicturedCell:
    """A planned cell whose imagination is drawn; without `frames`, `absence` is the reason."""

    task: TaskConfig
    record: CellRecord
    frames: Frames | None
    absence: str

    @property
    def key(self) -> CellKey:
        """Which cell."""
        return self.record.key


@dataclass(frozen=True)
class OrderedMethod:
    """A method on a task under every order of the agents.

    Attributes:
        cell: of the first planned seed, whose frames are shown.
        points: the errors over the seeds; empty where seeds may not be averaged.
        sample: the studied seeds and the states of the others.
        records: of all planned seeds.
    """

    cell: PicturedCell
    points: MethodPoints
    sample: Sample
    records: list[CellRecord]


def pictured_cells(
    grid: Grid, records: Path | Records, config_hashes: Mapping[CellKey, str] | None = None
) -> list[PicturedCell]:
    """The first planned seed of every task and method of the experiment `imagination`, in the grid's order.

    Raises:
        UserError: a record or frames cannot be trusted (see `load_cells`, `read_frames`), or only one of them
            is synthetic.
    """
    keys = first_seeds(grid.experiments["imagination"])
    return [_pictured(grid, record) for record in load_cells(grid, keys, records, config_hashes)]


def ordered_methods(
    grid: Grid, records: Path | Records, config_hashes: Mapping[CellKey, str] | None = None
) -> list[OrderedMethod]:
    """Every task and method of the experiment `agent_order`, in the grid's order.

    Raises UserError as `pictured_cells` and `read_study`.
    """
    found = load_cells(grid, grid.experiments["agent_order"], records, config_hashes)
    return [_ordered(grid, own) for own in by_task_and_method(found).values()]


def _pictured(grid: Grid, record: CellRecord) -> PicturedCell:
    task = grid.task(record.key.task)
    if record.state != "completed":
        return PicturedCell(task, record, None, record.state)
    name = f"studies/{FRAMES}.npz"
    content = record.records.read(record.key.folder, name)
    if content is None:
        return PicturedCell(task, record, None, no_study(grid, record.key, FRAMES) or "not made")
    place = record.records.place(record.key.folder, name)
    frames = read_frames(content, place)
    refuse_mixture(record, frames.synthetic, place)
    return PicturedCell(task, record, frames, "")


def _ordered(grid: Grid, records: list[CellRecord]) -> OrderedMethod:
    first = records[0]
    files = {
        record.key.seed: file
        for record in records
        if record.state == "completed" and (file := study_of(record, "orders"))
    }
    # of the sample, the seeds and whether they may be averaged count, not the numbers
    sample = study_sample(
        records, grid.task(first.key.task).env_steps, lambda record: 0.0 if record.key.seed in files else None
    )
    shown = [] if sample.mixture else [files[seed] for seed in sample.returns]
    points = points_over_seeds("orders", {file.place: file.rows for file in shown})
    label = next((record.synthetic for record in records if record.synthetic), None)
    over_seeds = MethodPoints(first.key.method, len(sample.returns), sample.planned, points, label)
    return OrderedMethod(_pictured(grid, first), over_seeds, sample, records)
