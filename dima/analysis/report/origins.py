"""The provenance of the grid's records: code, image, package lock and machine of every process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dima.analysis.report.cell_files import CellFiles

NOT_RECORDED = "not recorded"


class Origin(NamedTuple):
    """The provenance of one process, in words."""

    commit: str
    changes: str
    image: str
    lock: str
    hardware: str


class OriginCount(NamedTuple):
    """An origin and its numbers of cells and processes."""

    origin: Origin
    cells: int
    processes: int


def origin_of(start: Mapping[str, Any]) -> Origin:
    """The origin of a process from its entry in `provenance.json`."""
    dirty = start.get("dirty")
    changes = NOT_RECORDED
    if isinstance(dirty, bool):
        changes = "with uncommitted changes" if dirty else "as committed"
    names = ("commit", "image", "lock", "hardware")
    commit, image, lock, hardware = (str(start.get(name) or NOT_RECORDED) for name in names)
    return Origin(commit, changes, image, lock, hardware)


def hardware_of(cell: CellFiles) -> str:
    """The machines that worked on a cell."""
    return "; ".join(dict.fromkeys(origin_of(start).hardware for start in cell.starts)) or NOT_RECORDED


def count_origins(cells: Iterable[CellFiles]) -> list[OriginCount]:
    """The different origins, the one with the most processes first."""
    found: dict[Origin, list[str]] = defaultdict(list)
    for cell in cells:
        for start in cell.starts:
            found[origin_of(start)].append(cell.key.folder)
    counts = [OriginCount(origin, len(set(folders)), len(folders)) for origin, folders in found.items()]
    return sorted(counts, key=lambda count: (-count.processes, count.origin))
