"""The records of a grid from several places: folders of results and archives, together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dima.analysis.records.files import FileRecords, ListedRecords, Records
from dima.config.grid import Grid
from dima.errors import UserError
from dima.record.archive import ENDING, FILES, RECORDS, Files, archive_name, first_difference, read_archive


class ArchiveRecords(ListedRecords):
    """The records in an archive. Raises UserError as `read_archive`."""

    def __init__(self, path: Path, grid_name: str) -> None:
        super().__init__(str(path), read_archive(path, grid_name).cells)

    def read(self, folder: str, name: str) -> bytes | None:
        return self._cells.get(folder, {}).get(name)


class JoinedRecords:
    """Records from several places as one.

    Raises:
        UserError: two places hold different records of a cell of the grid.
    """

    def __init__(self, sources: Sequence[Records], grid: Grid) -> None:
        self._sources = sources
        for key in grid.cells:
            self._refuse_different_records(key.folder)

    def read(self, folder: str, name: str) -> bytes | None:
        contents = (source.read(folder, name) for source in self._sources)
        return next((content for content in contents if content is not None), None)

    def place(self, folder: str, name: str = "") -> str:
        names = (name,) if name else RECORDS
        holders = (
            source for source in self._sources if any(source.read(folder, each) is not None for each in names)
        )
        return next(holders, self._sources[0]).place(folder, name)

    def with_summary(self, parent: str) -> list[str]:
        return sorted({folder for source in self._sources for folder in source.with_summary(parent)})

    def _refuse_different_records(self, folder: str) -> None:
        held = [(source, files) for source in self._sources if (files := files_of(source, folder))]
        for source, files in held[1:]:
            name = first_difference(held[0][1], files)
            if name:
                places = f"{held[0][0].place(folder)} and {source.place(folder)}"
                raise UserError(
                    f"Two places hold different records of a cell: {places} ({name}); leave one of them out."
                )


def files_of(records: Records, folder: str) -> Files:
    """The files of a cell, empty where it has no record."""
    files = {name: content for name in FILES if (content := records.read(folder, name)) is not None}
    return files if not files.keys().isdisjoint(RECORDS) else {}


def records_in(places: Sequence[Path], grid: Grid) -> Records:
    """The records of the grid in `places`: archives, folders of archives, and results folders.

    Raises:
        UserError: an archive cannot be used, or two places hold different records of a cell.
    """
    sources = [source for place in dict.fromkeys(places) for source in _sources(place, grid.name)]
    return sources[0] if len(sources) == 1 else JoinedRecords(sources, grid)


def is_of_results(place: Path, grid_name: str) -> bool:
    """Whether the place is a results folder, perhaps one without runs yet, rather than one of archives."""
    return not place.is_file() and ((place / grid_name / "cells").is_dir() or not _archives(place, grid_name))


def _archives(folder: Path, grid_name: str) -> list[Path]:
    return sorted(folder.glob(archive_name(grid_name, "*", "*")))


def _sources(place: Path, grid_name: str) -> list[Records]:
    if place.is_file() and not place.name.endswith(ENDING):
        raise UserError(f"{place} is no folder and no archive.")
    if place.name.endswith(ENDING) and not place.is_dir():
        return [ArchiveRecords(place, grid_name)]
    archives: list[Records] = [ArchiveRecords(path, grid_name) for path in _archives(place, grid_name)]
    folders = [FileRecords(place / grid_name / "cells")] if is_of_results(place, grid_name) else []
    return [*archives, *folders]
