"""What running a grid would do and cost, by the records of its cells or by speeds measured elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dima.analysis.records.files import Records
from dima.campaign.cell_plan import CellPlan, cell_plans
from dima.campaign.disk import DiskUse, disk_use, free_bytes
from dima.campaign.measured import DEVICES, Estimate, Expectations, Measured, measured_cells
from dima.campaign.speed import Expected, Speeds
from dima.config.grid import CellKey, Grid

TO_COME = ("continue", "anew", "new")


class Prospect(NamedTuple):
    """The training time and disk that an unfinished cell still needs, None where nothing was measured.

    Attributes:
        seconds: by records of the grid.
        size: in bytes, by records of the grid.
        elsewhere: without `seconds`, the time by speeds measured elsewhere.
    """

    seconds: Estimate | None
    size: Estimate | None
    elsewhere: Expected | None = None


@dataclass(frozen=True)
class Plan:
    """What running a grid would do.

    Attributes:
        grid: of the cells.
        folder: of the grid's results.
        cells: every cell of the grid, in its order.
        measured: the cells with measurements.
        prospects: of the unfinished cells.
        use: of the disk.
        free: bytes on the file system of the results.
    """

    grid: Grid
    folder: Path
    cells: list[CellPlan]
    measured: list[Measured]
    prospects: dict[CellKey, Prospect]
    use: DiskUse
    free: int


def make_plan(grid: Grid, results: Path, records: Records | None = None) -> Plan:
    """The plan of a grid that runs in the folder `results`. Raises UserError if its configuration is invalid.

    `records` are those of its cells, by default those in that folder.
    """
    folder = results / grid.name
    cells, use = cell_plans(grid, folder / "cells", records), disk_use(folder)
    measured = measured_cells(grid, cells, use)
    expected = Expectations(measured)
    prospects = {cell.key: _prospect(cell, grid, expected, use) for cell in cells if cell.fate in TO_COME}
    unknown = [key for key, found in prospects.items() if found.seconds is None]
    speeds = Speeds(grid)
    # seeds of a method differ in nothing
    elsewhere = {place: speeds.expected(key) for place, key in {key[:2]: key for key in unknown}.items()}
    prospects |= {key: prospects[key]._replace(elsewhere=elsewhere[key[:2]]) for key in unknown}
    return Plan(grid, folder, cells, measured, prospects, use, free_bytes(folder))


def _prospect(cell: CellPlan, grid: Grid, expected: Expectations, use: DiskUse) -> Prospect:
    task, own = grid.task(cell.key.task), DEVICES.get(cell.device or "")
    seconds = expected.seconds(cell.key, task.suite, task.env_steps)
    if cell.seconds_left is not None and own:
        seconds = Estimate(max(0.0, cell.seconds_left), own, like=True)
    size = expected.size(cell.key, task.suite)
    if size:
        # a new attempt removes the old checkpoint
        there = (use.cell if cell.fate == "continue" else use.checkpoint)[cell.key.folder]
        size = size._replace(amount=max(0.0, size.amount - there))
    return Prospect(seconds, size)
