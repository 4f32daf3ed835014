"""Time and disk of a grid's finished cells, by their records, and estimates of other cells from them."""

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
        size: of its checkpoint and records in bytes; None if the grid's budget has changed or the checkpoint
            is missing.
    """

    key: CellKey
    suite: str
    device: str
    hardware: str
    seconds: float
    budget: int
    size: int | None


class Estimate(NamedTuple):
    """What a cell will take; `like`: measured on its own task, otherwise the method on other tasks."""

    amount: float
    device: str
    like: bool


def measured_cells(grid: Grid, plans: Sequence[CellPlan], use: DiskUse) -> list[Measured]:
    """The cells with measurements."""
    found = []
    for plan in plans:
        summary = plan.summary
        if summary is None or not plan.measures:
            continue
        devices = {process.device for process in summary.provenance}
        device = DEVICES.get(devices.pop() or "") if len(devices) == 1 else None
        if device:
            hardware = " / ".join(sorted({process.hardware for process in summary.provenance}))
            task, budget = grid.task(plan.key.task), summary.budget
            whole = summary.engine == "checkout" or use.checkpoint[plan.key.folder] > 0
            size = use.cell[plan.key.folder] if budget == task.env_steps and whole else None
            found.append(Measured(plan.key, task.suite, device, hardware, summary.wall_seconds, budget, size))
    return found


class Expectations:
    """Estimates: the mean of the measured cells of a task and method, or of the method in the suite.

    A method that was measured on a GPU is expected to run on one, because cells use a GPU if there is one.
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
        measured = ((cell, amount(cell)) for cell in self._of_method.get((suite, key.method), []))
        cells = [(cell, value) for cell, value in measured if value is not None]
        device = "GPU" if any(cell.device == "GPU" for cell, _ in cells) else "CPU"
        cells = [(cell, value) for cell, value in cells if cell.device == device]
        alike = [value for cell, value in cells if cell.key.task == key.task]
        values = alike or [value for _, value in cells]
        return Estimate(mean(values), device, bool(alike)) if values else None
