"""Records of cells as one file, a `.tar.xz` whose bytes depend on the records alone.

Its first member, `manifest.json`, lists the others in their order with size and sha256, and the provenance of
each cell. The others are `<grid>/cells/<task>/<method>/seed-<k>/<name>`; event logs are stored by columns
(since format 2). An archive may come from anybody: only files that the manifest lists under a name that a
cell's record can have are unpacked, and never more bytes than it gives.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dima.errors import UserError
from dima.record.columns import from_columns, to_columns
from dima.record.compressed import ArchiveError, Unpacked
from dima.record.snapshot import RECORDS as ATTEMPT

FORMAT = 2
READ = (1, FORMAT)
ENDING = ".tar.xz"
MANIFEST, EVENTS = "manifest.json", "events.jsonl"
RECORDS = (*ATTEMPT, "completed.json")
"""The files of an attempt, and the mark that it is finished."""
STUDIES = tuple(
    f"studies/{name}"
    for name in ("prediction.csv", "orders.csv", "gain.csv", "calibration.csv", "frames.npz")
)
FILES = RECORDS + STUDIES
"""The only names of a cell's files in an archive; checkpoints, films and earlier attempts are not packed."""
MOST_BYTES = 1 << 28
"""Of all members together."""
MOST_OF_MANIFEST = 1 << 22
PRESET = 6 | lzma.PRESET_EXTREME
ORIGIN = ("commit", "dirty", "image", "lock", "hardware")
"""The provenance of each process in the manifest."""

Files = dict[str, bytes]
"""A cell's files by name."""
Cells = dict[str, Files]
"""Files by cell, `<task>/<method>/seed-<k>`."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
Cell = Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+/seed-(0|[1-9][0-9]*)$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class PackedFile(_Strict):
    """A file of a cell; `stored` is the size of an event log by columns."""

    size: Annotated[int, Field(ge=0, le=MOST_BYTES)]
    stored: Annotated[int, Field(ge=0, le=MOST_BYTES)] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PackedCell(_Strict):
    """A cell: the digest of its configuration, the provenance of its processes, and its files."""

    config: str | None
    starts: list[dict[str, Any]]
    files: dict[str, PackedFile]


class Manifest(_Strict):
    """The content of `manifest.json`."""

    format: int
    grid: Name
    cells: dict[Cell, PackedCell]


class Archive(NamedTuple):
    """The content of an archive."""

    grid: str
    cells: Cells


def first_difference(one: Files, other: Files) -> str | None:
    """The first file in which two records of a cell differ, None if they are the same record.

    A study in only one of them is no difference.
    """
    for name in FILES:
        compared = name in RECORDS or (name in one and name in other)
        if compared and one.get(name) != other.get(name):
            return name
    return None


def archive_name(grid: str, task: str, method: str) -> str:
    """The file name of the archive of a task and method."""
    return f"{grid}.{task}.{method}{ENDING}"


def archives_in(places: Iterable[Path], grid: str) -> list[Path]:
    """The archives of the grid, from files and folders. Raises UserError for a folder without one."""
    found: list[Path] = []
    for place in places:
        inside = sorted(place.glob(archive_name(grid, "*", "*"))) if place.is_dir() else [place]
        if not inside:
            raise UserError(f"There is no archive {archive_name(grid, '<task>', '<method>')} in {place}.")
        found += inside
    return list(dict.fromkeys(found))


def pack_cells(grid: str, cells: Mapping[str, Mapping[str, bytes]]) -> bytes:
    """An archive of the cells, by cell and name. Equal records give equal bytes."""
    ordered = {
        cell: {name: cells[cell][name] for name in FILES if name in cells[cell]} for cell in sorted(cells)
    }
    manifest = {
        "format": FORMAT,
        "grid": grid,
        "cells": {cell: _described(files) for cell, files in ordered.items()},
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        _add(archive, MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
        for cell, files in ordered.items():
            for name, content in files.items():
                _add(archive, _member(grid, cell, name), _by_columns(name, content) or content)
    return lzma.compress(buffer.getvalue(), lzma.FORMAT_XZ, lzma.CHECK_CRC64, PRESET)


def _described(files: Mapping[str, bytes]) -> dict[str, Any]:
    """A cell in the manifest. A record that is not JSON is packed too; its reader refuses it."""
    config, provenance = (_object(files.get(name, b"")) for name in ("config.json", "provenance.json"))
    digest, starts = config.get("digest"), provenance.get("starts")
    known = [start for start in starts if isinstance(start, dict)] if isinstance(starts, list) else []
    return {
        "config": digest if isinstance(digest, str) else None,
        "starts": [{name: start.get(name) for name in ORIGIN} for start in known],
        "files": {name: _described_file(name, content) for name, content in files.items()},
    }


def _described_file(name: str, content: bytes) -> dict[str, Any]:
    stored = _by_columns(name, content)
    described = {"size": len(content), "sha256": _digest(content)}
    return described if stored is None else {**described, "stored": len(stored)}


def _by_columns(name: str, content: bytes) -> bytes | None:
    return to_columns(content) if name == EVENTS else None


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without owner and time."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))


def _member(grid: str, cell: str, name: str) -> str:
    return f"{grid}/cells/{cell}/{name}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_archive(path: Path, grid: str) -> Archive:
    """The content of the archive at `path`.

    Raises:
        UserError: there is no such file, it is cut off or no archive of records, it is of another format or
            grid, or its content differs from its manifest.
    """
    try:
        with path.open("rb") as file:
            return _read(Unpacked(file), grid)
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"There is no archive {path}.") from None
    except ArchiveError as fault:
        raise UserError(f"{path} {fault}.") from None


def _read(unpacked: Unpacked, grid: str) -> Archive:
    manifest = _read_manifest(unpacked, grid)
    cells: Cells = {cell: {} for cell in manifest.cells}
    for cell, packed in manifest.cells.items():
        for name, file in packed.files.items():
            member = _member(grid, cell, name)
            stored = file.size if file.stored is None else file.stored
            if _next_size(unpacked, member) != stored:
                raise ArchiveError(f"holds {member} of another size than its manifest says")
            content = _content(unpacked, stored)
            cells[cell][name] = content if file.stored is None else _restored(content, member)
            if (len(cells[cell][name]), _digest(cells[cell][name])) != (file.size, file.sha256):
                raise ArchiveError(f"holds {member} with another content than its manifest says")
    unpacked.require_end()
    return Archive(grid, cells)


def _restored(stored: bytes, member: str) -> bytes:
    try:
        return from_columns(stored)
    except (ValueError, RecursionError):
        raise ArchiveError(f"holds {member} with another content than its manifest says") from None


def _read_manifest(unpacked: Unpacked, grid: str) -> Manifest:
    size = _next_size(unpacked, MANIFEST)
    if size > MOST_OF_MANIFEST:
        raise ArchiveError("has a manifest that is too large")
    content = _content(unpacked, size)
    version = _object(content).get("format")
    if version not in READ:
        raise ArchiveError(
            f"is of format {version!r:.20}, and this version reads formats {' and '.join(map(str, READ))}"
        )
    try:
        manifest = Manifest.model_validate_json(content)
    except (ValidationError, RecursionError):
        raise ArchiveError(f"has a manifest that is not of format {version}") from None
    if manifest.grid != grid:
        raise ArchiveError(f"holds records of grid {manifest.grid}, not of {grid}")
    _refuse_names_and_sizes(manifest.cells.values())
    return manifest


def _refuse_names_and_sizes(cells: Iterable[PackedCell]) -> None:
    files = [(name, file) for cell in cells for name, file in cell.files.items()]
    for name, _ in files:
        if name not in FILES:
            raise ArchiveError(f"names {name!r:.80}, which is no record of a cell")
    if sum(max(file.size, file.stored or 0) for _, file in files) > MOST_BYTES:
        raise ArchiveError(f"holds more than {MOST_BYTES:,} bytes")


def _next_size(unpacked: Unpacked, name: str) -> int:
    """The size of the next member, which must be a file of that name."""
    try:
        member = tarfile.TarInfo.frombuf(unpacked.read(tarfile.BLOCKSIZE), "ascii", "strict")
    except (tarfile.HeaderError, ValueError):
        raise ArchiveError("is no archive of records, or is damaged") from None
    if member.name != name:
        raise ArchiveError(f"holds {member.name!r:.80} where {name} should be")
    if member.type != tarfile.REGTYPE:
        raise ArchiveError(f"holds {name} as something else than a file")
    return member.size


def _content(unpacked: Unpacked, size: int) -> bytes:
    content = unpacked.read(size)
    if any(unpacked.read(-size % tarfile.BLOCKSIZE)):
        raise ArchiveError("is no archive of records, or is damaged")
    return content
