"""The progress of a running grid, from `status.json` of its cells: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import NamedTuple, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from dima.config.grid import CellKey
from dima.record.cell_state import Status, read_status

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_TOTALS = 30.0
FAILURES = ("diverged", "failed", "interrupted")


class PlannedCell(NamedTuple):
    """A cell that this run trains, with its folder and its budget in environment steps."""

    grid: str
    key: CellKey
    folder: Path
    budget: int

    @property
    def name(self) -> str:
        """The name on the screen."""
        return f"{self.grid}/{self.key.folder}"


Statuses = dict[PlannedCell, Status]


@dataclass(frozen=True)
class Snapshot:
    """The run at one moment: its cells, the statuses of those that started, and how many train at once."""

    cells: Sequence[PlannedCell]
    statuses: Statuses
    parallel: int

    def in_state(self, *states: str) -> list[PlannedCell]:
        """The cells whose status is one of `states`."""
        return [cell for cell, status in self.statuses.items() if status.state in states]

    def fraction(self, cell: PlannedCell) -> float:
        """Environment steps taken over the budget; 1 for a completed cell."""
        status = self.statuses.get(cell)
        if status is None:
            return 0.0
        return 1.0 if status.state == "completed" else min(1.0, status.env_steps / cell.budget)

    def total_fraction(self) -> float:
        """The mean of the cells' fractions."""
        return mean(map(self.fraction, self.cells))

    def seconds_left(self, cell: PlannedCell) -> float | None:
        """The cell's remaining training time; None while that is unknown.

        A cell that trains continues at its own mean speed. One that waits takes as long as the mean of its
        task and method, or of all cells. A cell that has ended needs no more time, however it ended.
        """
        status = self.statuses.get(cell)
        if status and status.state != "running":
            return 0.0
        if cell in self._durations:
            return self._durations[cell] * (1 - self.fraction(cell))
        alike = [seconds for other, seconds in self._durations.items() if other.key[:2] == cell.key[:2]]
        return mean(alike or self._durations.values()) if self._durations else None

    def total_seconds_left(self) -> float | None:
        """Time until the last cell ends: the sum over `parallel`, but at least the longest."""
        left = [seconds for cell in self.cells if (seconds := self.seconds_left(cell)) is not None]
        return max(sum(left) / self.parallel, *left) if left else None

    @cached_property
    def _durations(self) -> dict[PlannedCell, float]:
        """Seconds per step times the budget, of every cell that has taken a step."""
        return {
            cell: status.wall_seconds / status.env_steps * cell.budget
            for cell, status in self.statuses.items()
            if status.env_steps > 0
        }


class Bars:
    """For a terminal: a bar for the whole run and one for each cell that trains."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def show(self, snapshot: Snapshot) -> None:
        """Redraw the bars."""
        table = Table.grid(padding=(0, 2))
        table.add_row(_count(snapshot), *_columns(snapshot.total_fraction(), snapshot.total_seconds_left()))
        for cell in snapshot.in_state("running"):
            columns = _columns(snapshot.fraction(cell), snapshot.seconds_left(cell))
            table.add_row(cell.name, *columns, _news(snapshot.statuses[cell]))
        self._live.update(table, refresh=True)

    def close(self, snapshot: Snapshot) -> None:
        """Leave the last state on the screen."""
        self.show(snapshot)
        self._live.stop()


class Lines:
    """For a log: a line when a cell has a new return or has ended, and every 30 s one for the whole run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: dict[PlannedCell, str] = {}
        self._total: tuple[str, float, float | None] | None = None
        self._next_total = time.monotonic() + SECONDS_BETWEEN_TOTALS

    def show(self, snapshot: Snapshot) -> None:
        """Print what is new."""
        for cell, status in snapshot.statuses.items():
            news = _news(status)
            if news != self._shown.get(cell, ""):
                self._shown[cell] = news
                self._print(cell.name, snapshot.fraction(cell), snapshot.seconds_left(cell), news)
        if time.monotonic() >= self._next_total:
            self._print_total(snapshot)

    def close(self, snapshot: Snapshot) -> None:
        """Print the last lines."""
        self.show(snapshot)
        self._print_total(snapshot)

    def _print_total(self, snapshot: Snapshot) -> None:
        total = _count(snapshot), snapshot.total_fraction(), snapshot.total_seconds_left()
        if total != self._total:  # unchanged while a cluster has yet to report ended jobs
            self._print(*total)
        self._total = total
        self._next_total = time.monotonic() + SECONDS_BETWEEN_TOTALS

    def _print(self, name: str, fraction: float, seconds: float | None, news: str = "") -> None:
        left = f"{duration(seconds)} left" if seconds else ""
        print(
            f"{name}: " + ", ".join(filter(None, (f"{fraction:.0%}", left, news))),
            file=self._stream,
            flush=True,
        )


class Progress:
    """Shows the cells of one run while they train, from a thread; writes no file."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, cells: Sequence[PlannedCell], parallel: int) -> None:
        """Show these cells, `parallel` of which train at once, until `stop`."""
        if cells:
            console = Console(stderr=True)
            view = Bars(console) if console.is_terminal else Lines(sys.stderr)
            arguments = (cells, min(parallel, len(cells)), view, time.time())
            self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Show the last state and end, if it was started."""
        self._stopped.set()
        if self._thread:
            self._thread.join()

    def _run(self, cells: Sequence[PlannedCell], parallel: int, view: Bars | Lines, started: float) -> None:
        statuses: Statuses = {}
        while not self._stopped.wait(SECONDS_BETWEEN_LOOKS):
            view.show(_look(cells, parallel, statuses, started))
        view.close(_look(cells, parallel, statuses, started))


def _look(cells: Sequence[PlannedCell], parallel: int, statuses: Statuses, started: float) -> Snapshot:
    """Read again every cell that has not completed, into `statuses`."""
    for cell in cells:
        if cell not in statuses or statuses[cell].state != "completed":
            status = read_status(cell.folder)
            if status and status.updated >= started:  # an older one is another run's
                statuses[cell] = status
    return Snapshot(cells, dict(statuses), parallel)


def _count(snapshot: Snapshot) -> str:
    failed = len(snapshot.in_state(*FAILURES))
    return f"{len(snapshot.in_state('completed'))} of {len(snapshot.cells)} cells done" + (
        f", {failed} failed" if failed else ""
    )


def _columns(fraction: float, seconds: float | None) -> tuple[ProgressBar, str, str]:
    return (
        ProgressBar(total=1.0, completed=fraction, width=30),
        f"{fraction:.0%}",
        f"{duration(seconds)} left",
    )


def _news(status: Status) -> str:
    """The latest return, and how the cell ended."""
    latest = "" if status.latest_return is None else f"return {status.latest_return:.1f}"
    ending = "" if status.state == "running" else status.state
    return ", ".join(filter(None, (latest, ending))) + (
        f": {status.message}" if status.state in FAILURES and status.message else ""
    )


def duration(seconds: float | None) -> str:
    """A readable time: `40 s`, `12 min`, `3.5 h`, `2.1 d`, or `?` where it is unknown."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"
