"""`dima sync`: the database's runs and metrics again, from the files of the cells, which are the truth.

Nothing is removed from the database but what a run no longer holds: another machine's cells may be in it too.
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
    """How much of a grid the database was given."""

    grid: str
    runs: int
    metric_documents: int


def sync(place: Address, results_dir: Path, grid: str | None = None) -> list[Synced]:
    """Bring the database up to date with every attempt of every cell of the grid, or of all grids below the
    folder.

    Raises:
        UserError: there is no such folder or grid, the database cannot be used, or some cells could not be brought there: each of those is
            named on the standard error, and the others are there.
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
        raise UserError(
            f"{refused} of {sum(map(len, cells.values()))} cells could not be brought to the database; all others are there."
        )
    return done


def _sync_cell(database: Database[dict[str, Any]], folder: Path, grid: str, cell: str) -> list[int]:
    """Publish every attempt, and again where files changed meanwhile.

    The last who writes must have seen the newest files.
    """
    counts: list[int] = []
    for _ in range(_ROUNDS):
        before = _ages(folder, grid, cell)
        counts = [publish(database, take(attempt)) for attempt in before]
        if _ages(folder, grid, cell) == before:
            break
    return counts


def _ages(folder: Path, grid: str, cell: str) -> dict[Attempt, list[tuple[int, int, int] | None]]:
    """The cell's attempts, and what tells whether a file of one was written since."""
    return {
        attempt: [_age(attempt.folder / name) for name in FILES] for attempt in attempts(folder, grid, cell)
    }


def _age(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.lstat()
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns
