"""What cells of a grid took, by their records, and what is to be expected of others by it.

Where nothing was measured, nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean
from typing import NamedTuple

from dima.campaign.cell_plan import CellPlan
from dima.campaign.disk import DiskUse
from dima.config.grid import CellKey, Grid

DEVICES = {"cuda": "GPU", "cpu": "CPU"}


class Measured(NamedTuple):
    """A finished cell whose processes all computed on one device.

    Attributes:
        key: which cell.
        suite: of its task.
        device: GPU or CPU.
        hardware: what its processes ran on.
        seconds: of training, for `budget` environment steps.
        size: of its checkpoint and records in bytes; None where its budget is not the grid's any more, or where its checkpoint is not
            there.
    """

    key: CellKey
    suite: str
    device: str
    hardware: str
    seconds: float
    budget: int
    size: int | None


class Estimate(NamedTuple):
    """What a cell will take; `like` tells whether cells of its own task and method were measured, or only the
    method on other tasks.
    """

    amount: float
    device: str
    like: bool


def measured_cells(grid: Grid, plans: Sequence[CellPlan], use: DiskUse) -> list[Measured]:
    """The cells of which something was measured."""
    found = []
    for plan in plans:
        summary = plan.summary
        if summary is None or not plan.measures:
            continue
        devices = {process.device for process in summary.provenance}
        device = DEVICES.get(devices.pop() or "") if len(devices) == 1 else None
        if device:
            hardware = " / ".join(sorted({process.hardware for process in summary.provenance}))
            whole = summary.engine == "checkout" or use.checkpoint[plan.key.folder] > 0
            size = (
                use.cell[plan.key.folder]
                if summary.budget == grid.task(plan.key.task).env_steps and whole
                else None
            )
            suite = grid.task(plan.key.task).suite
            found.append(
                Measured(plan.key, suite, device, hardware, summary.wall_seconds, summary.budget, size)
            )
    return found


class Expectations:
    """What cells to come will take.

    The mean of the measured cells of their task and method, or of the method in the suite.

    A method that was measured on a GPU is expected on one: cells take it where there is one.
    """

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._of_method: dict[tuple[str, str], list[Measured]] = {}
        for cell in measured:
            self._of_method.setdefault((cell.suite, cell.key.method), []).append(cell)

    def seconds(self, key: CellKey, suite: str, budget: int) -> Estimate | None:
        """Of training from start to budget, by the measured seconds for each environment step."""
        return self._estimate(key, suite, lambda cell: cell.seconds / cell.budget * budget)

    def size(self, key: CellKey, suite: str) -> Estimate | None:
        """Of checkpoint and records at the end, in bytes."""
        return self._estimate(key, suite, lambda cell: cell.size)

    def _estimate(
        self, key: CellKey, suite: str, amount: Callable[[Measured], float | None]
    ) -> Estimate | None:
        cells = [
            (cell, value)
            for cell in self._of_method.get((suite, key.method), [])
            if (value := amount(cell)) is not None
        ]
        device = "GPU" if any(cell.device == "GPU" for cell, _ in cells) else "CPU"
        cells = [(cell, value) for cell, value in cells if cell.device == device]
        alike = [value for cell, value in cells if cell.key.task == key.task]
        values = alike or [value for _, value in cells]
        return Estimate(mean(values), device, bool(alike)) if values else None
