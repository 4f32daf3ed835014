"""`dima pack`: a grid's records as archives, one a task and method, so that a new seed changes one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dima.analysis.records.files import Records
from dima.analysis.records.load import load_cells
from dima.analysis.records.sources import files_of
from dima.cell.lock import is_held
from dima.config.grid import CellKey, Grid
from dima.errors import UserError
from dima.record.archive import ENDING, Cells, archive_name, pack_cells, read_archive
from dima.record.files import replacing


class Packed(NamedTuple):
    """An archive that has these bytes now, written or unchanged."""

    path: Path
    cells: int
    size: int


def pack(grid: Grid, records: Records, target: Path, left_out: Iterable[CellKey] = ()) -> list[Packed]:
    """Write the records of the grid's cells to `target`: one archive if it ends in `.tar.xz`, else a folder.

    Raises:
        UserError: there is no record, one cannot be trusted (see `load_cells`), or an existing archive has a
            cell that would be lost; nothing is written.
    """
    load_cells(grid, grid.cells, records)
    archives = _archives(grid, records, target, set(left_out))
    if not archives:
        raise UserError(f"There is no record of a cell of grid {grid.name} to pack.")
    for path, cells in archives.items():
        _refuse_loss(path, grid.name, cells)
    return [_write(path, pack_cells(grid.name, cells), len(cells)) for path, cells in archives.items()]


def unfinished_cells(grid: Grid, records: Records, folders: Iterable[Path]) -> list[CellKey]:
    """The cells that a process trains in one of the results folders, or that have only a checkpoint yet."""
    cells_dirs = [folder / grid.name / "cells" for folder in folders]
    return [
        cell.key
        for cell in load_cells(grid, grid.cells, records)
        if cell.state in ("running", "interrupted")
        or any(is_held(folder / cell.key.folder / "lock") for folder in cells_dirs)
    ]


def _archives(grid: Grid, records: Records, target: Path, left_out: set[CellKey]) -> dict[Path, Cells]:
    found: dict[Path, Cells] = {}
    for key in grid.cells:
        files = files_of(records, key.folder)
        if files and key not in left_out:
            whole = target.name.endswith(ENDING)
            path = target if whole else target / archive_name(grid.name, key.task, key.method)
            found.setdefault(path, {})[key.folder] = files
    return found


def _refuse_loss(path: Path, grid_name: str, cells: Cells) -> None:
    """Refuse to drop cells of an existing archive, which may come from another machine."""
    lost = sorted(read_archive(path, grid_name).cells.keys() - cells.keys()) if path.exists() else []
    if lost:
        raise UserError(f"{path} holds {', '.join(lost)}, which would be lost: give {path} with --from, too.")


def _write(path: Path, content: bytes, cells: int) -> Packed:
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside:
            aside.write_bytes(content)
    return Packed(path, cells, len(content))
