"""Where analysis reads records from: the folders of a grid's cells, or another place with the same files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Records(Protocol):
    """The records of one grid's cells.

    A `folder` is `<task>/<method>/seed-<k>`, a `name` that of one of a cell's files.
    """

    def read(self, folder: str, name: str) -> bytes | None:
        """The content of the cell's file, None where it has none."""
        ...

    def place(self, folder: str, name: str = "") -> str:
        """The name of the cell's folder, or of its file, in messages."""
        ...

    def with_summary(self, parent: str) -> list[str]:
        """The folders in `<task>/<method>` that hold a summary, whatever their names."""
        ...


class FileRecords:
    """The records in a grid's folder `cells`."""

    def __init__(self, cells_dir: Path) -> None:
        self._cells_dir = cells_dir

    def read(self, folder: str, name: str) -> bytes | None:
        path = self._cells_dir / folder / name
        return path.read_bytes() if path.is_file() else None

    def place(self, folder: str, name: str = "") -> str:
        return str(self._cells_dir / folder / name)

    def with_summary(self, parent: str) -> list[str]:
        return [
            path.parent.relative_to(self._cells_dir).as_posix()
            for path in sorted((self._cells_dir / parent).glob("*/summary.json"))
        ]


class ListedRecords:
    """Base of records that one container lists: `cells` has the files of each cell by name."""

    def __init__(self, container: str, cells: Mapping[str, Mapping[str, Any]]) -> None:
        self._container, self._cells = container, cells

    def place(self, folder: str, name: str = "") -> str:
        return f"{folder}{name and f'/{name}'} in {self._container}"

    def with_summary(self, parent: str) -> list[str]:
        own = (cell for cell, files in self._cells.items() if "summary.json" in files)
        return sorted(cell for cell in own if cell.startswith(f"{parent}/"))
