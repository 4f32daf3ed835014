"""The files of a cell's attempts at one moment, for the database."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dima.errors import UserError

RECORDS = ("config.json", "provenance.json", "status.json", "events.jsonl", "summary.json")
"""The files of an attempt."""
STUDIES = ("studies/prediction.csv", "studies/orders.csv", "studies/frames.npz")
"""The studies of its world model that a grid's tables and figures show."""
FILES = RECORDS + STUDIES
"""The only names of files in the database."""


@dataclass(frozen=True)
class Attempt:
    """One attempt of a cell.

    Attributes:
        grid: of the cell.
        cell: `<task>/<method>/seed-<k>`.
        number: 1, 2, ...
        current: whether tables read it; the others were set aside.
        folder: of its files.
    """

    grid: str
    cell: str
    number: int
    current: bool
    folder: Path

    @property
    def run_id(self) -> str:
        """The name of the run in the database, the same for all processes of the attempt."""
        return f"{self.grid}/{self.cell}/{self.number}"


@dataclass(frozen=True)
class Snapshot:
    """An attempt and the content of its files, by name."""

    attempt: Attempt
    files: dict[str, bytes]

    def json(self, name: str) -> dict[str, Any]:
        """The JSON object in the file, empty if there is none."""
        try:
            content = json.loads(self.files.get(name, b""))
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


def attempts(folder: Path, grid: str, cell: str) -> list[Attempt]:
    """The attempts with records below a cell's folder, the current one last. Raises as `read_record`."""
    set_aside = {int(path.name): path for path in (folder / "attempts").glob("[0-9]*") if path.name.isdigit()}
    found = [Attempt(grid, cell, number, False, path) for number, path in sorted(set_aside.items())]
    if not has_records(folder):
        return found
    name = "provenance.json"
    known = Snapshot(Attempt(grid, cell, 0, True, folder), {name: read_record(folder, name) or b""})
    number = known.json(name).get("attempt")
    if not isinstance(number, int):
        number = 1 + max(set_aside, default=0)
    # an attempt whose files are only partly set aside, after a kill, is still the current one
    others = [attempt for attempt in found if attempt.number != number]
    return [*others, Attempt(grid, cell, number, True, folder)]


def has_records(folder: Path) -> bool:
    """Whether the folder has a file of a cell."""
    return any(os.path.lexists(folder / name) for name in RECORDS)


def take(attempt: Attempt) -> Snapshot:
    """The attempt's files now. Raises UserError as `read_record`."""
    contents = {name: read_record(attempt.folder, name) for name in FILES}
    return Snapshot(attempt, {name: content for name, content in contents.items() if content is not None})


def read_record(folder: Path, name: str) -> bytes | None:
    """The content of a cell's file, None if it is missing.

    Raises:
        UserError: the name is not one of FILES, or the path is a link or anything else than a file.
    """
    path = folder / require_record(name)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f"{path} is a link; the records of a cell are files of their own.") from None
        raise
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UserError(f"{path} is not a file.")
        return file.read()


def require_record(name: str) -> str:
    """The name, if it is one of FILES; raises UserError for others, such as a path out of the folder."""
    if name not in FILES:
        raise UserError(f"{name!r} is not a record of a cell; the records are {', '.join(FILES)}.")
    return name


def cell_folders(results_dir: Path, grid: str) -> dict[str, Path]:
    """Cell name -> folder, for every folder of the grid that holds records.

    Raises:
        UserError: there is no such grid below the folder, or a folder with records has no name of a cell.
    """
    cells_dir = results_dir / grid / "cells"
    if not cells_dir.is_dir():
        grids = ", ".join(grids_in(results_dir)) or "none"
        raise UserError(f"There is no {cells_dir}; the grids in {results_dir} are {grids}.")
    found: dict[str, Path] = {}
    for folder in sorted(cells_dir.glob("*/*/*")):
        if folder.is_dir() and (has_records(folder) or (folder / "attempts").is_dir()):
            name = folder.relative_to(cells_dir).as_posix()
            if not re.fullmatch(r"[a-z0-9-]+(/[a-z0-9-]+){2}", name):
                raise UserError(f"{folder} is not named as a cell is: move it away.")
            found[name] = folder
    return found


def grids_in(results_dir: Path) -> list[str]:
    """The grids with cells below the folder. Raises UserError if the folder does not exist."""
    if not results_dir.is_dir():
        raise UserError(f"There is no folder {results_dir}.")
    return sorted(path.parent.name for path in results_dir.glob("*/cells") if path.is_dir())
