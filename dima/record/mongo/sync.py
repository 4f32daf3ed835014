"""`dima sync`: updating the database's runs and metrics from the files of the cells.

Other runs are not removed: the database may contain another machine's cells.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dima.errors import UserError
from dima.record.mongo.database import Address, DatabaseError, connect, database_errors
from dima.record.mongo.publish import make_indexes, publish
from dima.record.snapshot import FILES, Attempt, attempts, cell_folders, grids_in, take

if TYPE_CHECKING:
    from pymongo.database import Database

_ROUNDS = 3


class Synced(NamedTuple):
    """The numbers of runs and metric documents of a grid that were written."""

    grid: str
    runs: int
    metric_documents: int


def sync(place: Address, results_dir: Path, grid: str | None = None) -> list[Synced]:
    """Write every attempt of every cell of the grid, or of all grids below the folder, to the database.

    Raises:
        UserError: there is no such folder or grid, the database cannot be used, or some cells could not be
            written; each of those is named on standard error, and the others are written.
    """
    grids = [grid] if grid else grids_in(results_dir)
    cells = {name: cell_folders(results_dir, name) for name in grids}
    database = connect(place)
    with database_errors(place.name):
        make_indexes(database)
    refused = 0
    done: list[Synced] = []
    for name, folders in cells.items():
        runs = documents = 0
        for cell, folder in folders.items():
            try:
                with database_errors(place.name):
                    counts = _sync_cell(database, folder, name, cell)
            except DatabaseError:
                raise
            except UserError as error:
                print(f"dima: {error}", file=sys.stderr)
                refused += 1
            else:
                runs, documents = runs + len(counts), documents + sum(counts)
        done.append(Synced(name, runs, documents))
    if refused:
        planned = sum(map(len, cells.values()))
        raise UserError(f"{refused} of {planned} cells could not be written to the database; all others are.")
    return done


def _sync_cell(database: Database[dict[str, Any]], folder: Path, grid: str, cell: str) -> list[int]:
    """Publish every attempt, again if files changed meanwhile: the last writer must have the newest files."""
    counts: list[int] = []
    for _ in range(_ROUNDS):
        before = _ages(folder, grid, cell)
        counts = [publish(database, take(attempt)) for attempt in before]
        if _ages(folder, grid, cell) == before:
            break
    return counts


def _ages(folder: Path, grid: str, cell: str) -> dict[Attempt, list[tuple[int, int, int] | None]]:
    """The cell's attempts, each with what changes when one of its files is written."""
    return {
        attempt: [_age(attempt.folder / name) for name in FILES] for attempt in attempts(folder, grid, cell)
    }


def _age(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.lstat()
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns
