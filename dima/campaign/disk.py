"""The disk use of a grid's results."""

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
        checkpoints: of the whole grid, old attempts included.
        records: all other files of training, old attempts included.
        others: studies, tables, figures and logs.
        checkpoint: by cell's folder, without old attempts.
        cell: by cell's folder, checkpoint and records, without old attempts.
    """

    checkpoints: int = 0
    records: int = 0
    others: int = 0
    checkpoint: Counter[str] = field(default_factory=Counter)
    cell: Counter[str] = field(default_factory=Counter)


def disk_use(folder: Path) -> DiskUse:
    """The size of the files in `folder`, `results/<grid>`, which need not exist; links are not followed."""
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
    """The bytes that the file system of `folder`, or of its first existing parent, has free for this user."""
    places = (folder.absolute(), *folder.absolute().parents)
    return shutil.disk_usage(next(place for place in places if place.exists())).free


def _files(folder: str, path: Part) -> Iterator[tuple[Part, int]]:
    """Every file below `folder`: its path as parts, and its size; a file may disappear meanwhile."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(entry.path, (*path, entry.name))
                else:
                    yield (*path, entry.name), entry.stat(follow_symlinks=False).st_size
