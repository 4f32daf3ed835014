"""The progress of every cell of a grid, from its own records: a table for a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from dima.analysis.records.files import Records
from dima.analysis.records.load import read_object
from dima.analysis.returns.exploitation import signs_of_exploitation
from dima.campaign.progress import duration
from dima.config.grid import CellKey, Grid
from dima.errors import UserError
from dima.record.attempt import PROVENANCE
from dima.record.cell_state import EVENTS, STATUS, parse_status

COLUMNS = (
    "task",
    "method",
    "seed",
    "state",
    "env steps",
    "return",
    "time left",
    "attempt",
    "updated",
    "host",
)
SECONDS_BETWEEN_LOOKS = 2.0
WIDTH_OF_A_FILE = 200


class CellStatus(NamedTuple):
    """The progress of one cell; fields are None where they are unknown.

    Attributes:
        key: which cell.
        state: `not run`, or that in `status.json`; a killed cell keeps `running`.
        budget: in environment steps.
        env_steps: environment steps taken.
        latest_return: mean of the latest evaluation.
        seconds_left: of a running cell, at its mean speed so far.
        attempt: its number.
        processes: how many have worked on the attempt.
        silent_seconds: since the status was updated.
        where: the machine of its process.
        synthetic: what a record that no run made says of itself.
        warning: signs in the event log that the policy exploits its model.
    """

    key: CellKey
    state: str
    budget: int
    env_steps: int | None = None
    latest_return: float | None = None
    seconds_left: float | None = None
    attempt: int | None = None
    processes: int | None = None
    silent_seconds: float | None = None
    where: str | None = None
    synthetic: str | None = None
    warning: str = ""


def cell_statuses(grid: Grid, records: Records) -> list[CellStatus]:
    """The status of every cell of the grid, in its order."""
    return [_status(key, grid.task(key.task).env_steps, records) for key in grid.cells]


def show(grid: Grid, records: Records, *, watch: bool) -> None:
    """Print the table of the grid's cells once, or with `watch` until interrupted."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_A_FILE)
    if not watch:
        console.print(with_warnings(cell_statuses(grid, records)))
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            live.update(with_warnings(cell_statuses(grid, records)), refresh=True)
            time.sleep(SECONDS_BETWEEN_LOOKS)


def as_table(statuses: Sequence[CellStatus]) -> Table:
    """A row for each cell, and the number of cells in each state as the title."""
    states = [status.state for status in statuses]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    labels = dict.fromkeys(f"{status.synthetic}\n" for status in statuses if status.synthetic)
    table = Table(
        *COLUMNS,
        title=f"{''.join(labels)}{len(states)} cells: {counts}",
        box=None,
        title_justify="left",
        padding=(0, 1),
    )
    for status in statuses:
        table.add_row(*_cells(status))
    return table


def with_warnings(statuses: Sequence[CellStatus]) -> Group:
    """The table, with a line below it for each warning."""
    warnings = [f"{status.key.folder}: {status.warning}" for status in statuses if status.warning]
    return Group(as_table(statuses), *warnings)


def seconds_left(env_steps: int, budget: int, wall_seconds: float) -> float | None:
    """Training time from `env_steps` to `budget` at the mean speed so far; None before the first step."""
    return wall_seconds / env_steps * (budget - env_steps) if env_steps else None


def _status(key: CellKey, budget: int, records: Records) -> CellStatus:
    status = parse_status(records.read(key.folder, STATUS) or b"")
    if status is None:
        return CellStatus(key, "not run", budget)
    history = read_object(records, key.folder, PROVENANCE)
    left = seconds_left(status.env_steps, status.budget, status.wall_seconds)
    return CellStatus(
        key,
        status.state,
        status.budget,
        status.env_steps,
        status.latest_return,
        left if status.state == "running" else None,
        history["attempt"] if history else None,
        len(history["starts"]) if history else None,
        max(0.0, time.time() - status.updated),
        status.host,
        status.synthetic,
        _warning(records, key),
    )


def _warning(records: Records, key: CellKey) -> str:
    try:
        return signs_of_exploitation(records.read(key.folder, EVENTS) or b"", EVENTS)
    except UserError:  # tables refuse a log that cannot be read
        return ""


def _cells(status: CellStatus) -> Iterator[str]:
    yield from (status.key.task, status.key.method, str(status.key.seed), status.state)
    steps = status.env_steps
    yield "" if steps is None else f"{steps:,} of {status.budget:,} ({steps / status.budget:.0%})"
    yield "" if status.latest_return is None else f"{status.latest_return:.1f}"
    yield "" if status.seconds_left is None else duration(status.seconds_left)
    yield "" if status.attempt is None else f"{status.attempt}, process {status.processes}"
    yield "" if status.silent_seconds is None else f"{duration(status.silent_seconds)} ago"
    yield status.where or ""
