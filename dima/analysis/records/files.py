"""Where analysis reads records from.

The folders of a grid's cells, or whatever else holds the same files of the same cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Records(Protocol):
    """The records of one grid's cells.

    A `folder` is `<task>/<method>/seed-<k>`, a `name` that of one of a cell's files.
    """

    def read(self, folder: str, name: str) -> bytes | None:
        """The content of the cell's file, None where it has none."""
        ...

    def place(self, folder: str, name: str = "") -> str:
        """What a message calls the cell's folder, or its file."""
        ...

    def with_summary(self, parent: str) -> list[str]:
        """The folders in `<task>/<method>` that hold a summary, whatever they are called."""
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
