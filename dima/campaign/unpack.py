"""`dima unpack`: restoring records from archives into the folders of their cells."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from dima.cell.lock import hold
from dima.errors import UserError
from dima.record.archive import FILES, RECORDS, Cells, Files, first_difference, read_archive
from dima.record.files import sync_folder

FRAMES = "studies/frames.npz"
SUMMARY = "summary.json"


class Unpacked(NamedTuple):
    """The numbers of cells that were restored or completed, and of those already there."""

    put_back: int
    there: int


def unpack(archives: Iterable[Path], grid: str, results_dir: Path) -> Unpacked:
    """Restore the records in the archives under `<results_dir>/<grid>/cells`.

    A new folder appears complete. An existing one gets its missing files, the summary last.

    Raises:
        UserError: an archive cannot be used (see `read_archive`), or a cell has another record there or in
            another archive; nothing is written.
        LockedError: another process runs one of the cells; nothing is written.
    """
    cells = _together(archives, grid)
    cells_dir = results_dir / grid / "cells"
    missing = {cell: absent for cell, files in cells.items() if (absent := _missing(cells_dir / cell, files))}
    with ExitStack() as locks:
        for cell in missing:
            if (cells_dir / cell).is_dir():
                locks.enter_context(hold(cells_dir / cell / "lock", wait=False))
        for cell, files in cells.items():
            _refuse_another_record(cells_dir / cell, files)
        if missing:
            _put(missing, cells_dir)
    return Unpacked(len(missing), len(cells) - len(missing))


def _together(archives: Iterable[Path], grid: str) -> Cells:
    """The cells of all archives."""
    cells: Cells = {}
    places: dict[str, Path] = {}
    for path in archives:
        for cell, files in read_archive(path, grid).cells.items():
            name = first_difference(cells.get(cell, files), files)
            if name:
                both = f"{places[cell]} and {path}"
                raise UserError(f"{both} hold different records of {cell} ({name}): leave one of them out.")
            cells[cell] = cells.get(cell, {}) | files
            places[cell] = path
    return cells


def _missing(folder: Path, files: Files) -> Files:
    return {name: content for name, content in files.items() if not (folder / name).is_file()}


def _refuse_another_record(folder: Path, files: Files) -> None:
    for name in FILES:
        path = folder / name
        if os.path.lexists(path) and (path.is_symlink() or not path.is_file() or _differs(path, name, files)):
            remedy = f"nothing was written; move {folder} away to unpack the cell"
            raise UserError(f"{path} differs from the archive: {remedy}.")


def _differs(path: Path, name: str, files: Files) -> bool:
    return path.read_bytes() != files[name] if name in files else name in RECORDS


def _put(missing: Cells, cells_dir: Path) -> None:
    """Write everything to a folder aside first, so that a full disk changes nothing."""
    cells_dir.mkdir(parents=True, exist_ok=True)
    aside = Path(mkdtemp(prefix=".unpack-", dir=cells_dir.parent))
    try:
        now = time.time()  # of all files: to Snakemake, a study must not be older than its summaries
        for cell, files in missing.items():
            for name, content in files.items():
                _write(aside / cell / name, content, now)
        for cell, files in missing.items():
            _put_cell(aside / cell, cells_dir / cell, files)
            _renew_frames(cells_dir / cell, now)
    finally:
        shutil.rmtree(aside)


def _write(path: Path, content: bytes, now: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.utime(path, (now, now))


def _put_cell(aside: Path, folder: Path, files: Files) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.is_dir():
        for name in sorted(files, key=lambda name: name == SUMMARY):
            (folder / name).parent.mkdir(exist_ok=True)
            (aside / name).replace(folder / name)
        sync_folder(folder)
    else:
        aside.rename(folder)
    sync_folder(folder.parent)


def _renew_frames(folder: Path, now: float) -> None:
    """Give frames of the task and seed the new time: their policy may be this cell's, which is not newer."""
    for frames in folder.parents[1].glob(f"*/{folder.name}/{FRAMES}"):
        os.utime(frames, (now, now))
