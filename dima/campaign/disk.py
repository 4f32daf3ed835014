"""What a grid's results take on the disk."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

Part = tuple[str, ...]


@dataclass
class DiskUse:
    """Sizes of files in bytes.

    Attributes:
        checkpoints, records, others: of the whole grid, old attempts included. Records are all else that a cell writes of its training;
            others are studies, tables, figures and logs.
        checkpoint: by cell's folder.
        cell: by cell's folder: checkpoint and records but for old attempts, which is what a cell made once takes.
    """

    checkpoints: int = 0
    records: int = 0
    others: int = 0
    checkpoint: Counter[str] = field(default_factory=Counter)
    cell: Counter[str] = field(default_factory=Counter)


def disk_use(folder: Path) -> DiskUse:
    """What the files in `folder`, `results/<grid>`, take; nothing where it does not exist.

    Links are not followed.
    """
    use = DiskUse()
    for path, size in _files(str(folder), ()):
        if path[0] != "cells" or len(path) < 5 or path[4] in ("studies", "upstream"):
            use.others += size
            continue
        cell = "/".join(path[1:4])
        old = path[4] == "attempts"
        if "checkpoint" in (path[4], *path[6:7]):
            use.checkpoints += size
            use.checkpoint[cell] += 0 if old else size
        else:
            use.records += size
        if not old:
            use.cell[cell] += size
    return use


def free_bytes(folder: Path) -> int:
    """What the file system of `folder`, or of what it will be made in, has left for this user."""
    return shutil.disk_usage(
        next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    ).free


def text_of_bytes(size: float) -> str:
    """`999 B`, `1.5 kB`, `20.0 GB`: powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.95:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def _files(folder: str, path: Part) -> Iterator[tuple[Part, int]]:
    """Every file below `folder`: its path as parts, and its size.

    Cells that train meanwhile make files and remove them.
    """
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(entry.path, (*path, entry.name))
                else:
                    yield (*path, entry.name), entry.stat(follow_symlinks=False).st_size
