"""What running a grid would do and take, by what its cells left behind, or else by speeds measured
elsewhere.
"""

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
    """A cell to come: the training time and the bytes that it will still take.

    Attributes: seconds: by records of the grid; None where nothing was measured. size: likewise. elsewhere:
        where `seconds` is None, what such a cell takes by speeds measured elsewhere; None where none was.
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
        measured: those that something was measured of.
        prospects: of the cells to come.
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
    """The plan of the grid by its folder in `results`.

    Raises UserError where the grid's configuration is not in order.

    Args:
        grid: to run.
        results: the folder of all grids that it would run in.
        records: of its cells; by default those in that folder.
    """
    folder = results / grid.name
    cells, use = cell_plans(grid, folder / "cells", records), disk_use(folder)
    measured = measured_cells(grid, cells, use)
    expected = Expectations(measured)
    prospects = {cell.key: _prospect(cell, grid, expected, use) for cell in cells if cell.fate in TO_COME}
    unknown = [key for key, found in prospects.items() if found.seconds is None]
    speeds = Speeds(grid)
    elsewhere = {
        key[:2]: speeds.expected(key) for key in {key[:2]: key for key in unknown}.values()
    }  # seeds differ in nothing
    prospects |= {key: prospects[key]._replace(elsewhere=elsewhere[key[:2]]) for key in unknown}
    return Plan(grid, folder, cells, measured, prospects, use, free_bytes(folder))


def _prospect(cell: CellPlan, grid: Grid, expected: Expectations, use: DiskUse) -> Prospect:
    task, own = grid.task(cell.key.task), DEVICES.get(cell.device or "")
    seconds = expected.seconds(cell.key, task.suite, task.env_steps)
    if cell.seconds_left is not None and own:
        seconds = Estimate(max(0.0, cell.seconds_left), own, like=True)
    size = expected.size(cell.key, task.suite)
    if size:
        there = (use.cell if cell.fate == "continue" else use.checkpoint)[
            cell.key.folder
        ]  # an old attempt's checkpoint is removed
        size = size._replace(amount=max(0.0, size.amount - there))
    return Prospect(seconds, size)
