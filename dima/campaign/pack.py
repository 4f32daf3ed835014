"""`dima pack`: the records of a grid as archives, one a task and method, so that another seed changes one
small file.
"""

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
    """An archive that was written, or has these bytes already."""

    path: Path
    cells: int
    size: int


def pack(grid: Grid, records: Records, target: Path, left_out: Iterable[CellKey] = ()) -> list[Packed]:
    """Write the records of the grid's cells to `target`.

    One archive where its name ends in `.tar.xz`, else a folder of archives.

    Raises:
        UserError: there is no record, one cannot be trusted (see `load_cells`), or an archive that is there holds a cell that would be
            lost; nothing is written.
    """
    load_cells(grid, grid.cells, records)
    archives = _archives(grid, records, target, set(left_out))
    if not archives:
        raise UserError(f"There is no record of a cell of grid {grid.name} to pack.")
    for path, cells in archives.items():
        _refuse_loss(path, grid.name, cells)
    return [_write(path, pack_cells(grid.name, cells), len(cells)) for path, cells in archives.items()]


def unfinished_cells(grid: Grid, records: Records, folders: Iterable[Path]) -> list[CellKey]:
    """The cells that a process trains in one of the folders of all grids, or that go on from a checkpoint,
    which does not travel.
    """
    cells_dirs = [folder / grid.name / "cells" for folder in folders]
    trained = {
        key for key in grid.cells if any(is_held(cells_dir / key.folder / "lock") for cells_dir in cells_dirs)
    }
    going_on = {
        cell.key for cell in load_cells(grid, grid.cells, records) if cell.state in ("running", "interrupted")
    }
    return [key for key in grid.cells if key in trained | going_on]


def _archives(grid: Grid, records: Records, target: Path, left_out: set[CellKey]) -> dict[Path, Cells]:
    found: dict[Path, Cells] = {}
    for key in grid.cells:
        files = files_of(records, key.folder)
        if files and key not in left_out:
            path = (
                target
                if target.name.endswith(ENDING)
                else target / archive_name(grid.name, key.task, key.method)
            )
            found.setdefault(path, {})[key.folder] = files
    return found


def _refuse_loss(path: Path, grid_name: str, cells: Cells) -> None:
    """An archive may hold what was trained elsewhere."""
    lost = sorted(read_archive(path, grid_name).cells.keys() - cells.keys()) if path.exists() else []
    if lost:
        raise UserError(f"{path} holds {', '.join(lost)}, which would be lost: give {path} with --from, too.")


def _write(path: Path, content: bytes, cells: int) -> Packed:
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside:
            aside.write_bytes(content)
    return Packed(path, cells, len(content))
