"""The records of a grid in MongoDB, as a living cell or `dima sync` has put them there."""

from __future__ import annotations

import hashlib
from typing import Any

from dima.errors import UserError
from dima.record.mongo.database import Address, connect, database_errors


class DatabaseRecords:
    """The files of the attempt of every cell that tables read.

    Args:
        place: of the database.
        grid_name: of the cells.

    Raises:
        DatabaseError: the database cannot be used; `read` likewise.
    """

    def __init__(self, place: Address, grid_name: str) -> None:
        from gridfs import GridFS

        self._place = place
        database = connect(place)
        wanted = {"artifacts": 1, "info.cell": 1}
        with database_errors(place.name):
            self._files = GridFS(database)
            runs = list(
                database["runs"]
                .find({"info.grid": grid_name, "info.current": True}, wanted)
                .sort("info.attempt", 1)
            )
        self._artifacts: dict[str, dict[str, Any]] = {run["info"]["cell"]: _files_of(run) for run in runs}

    def read(self, folder: str, name: str) -> bytes | None:
        """The content of the cell's file, None where it has none.

        Raises UserError where it is not whole, too.
        """
        from gridfs.errors import CorruptGridFile, NoFile

        file_id = self._artifacts.get(folder, {}).get(name)
        if file_id is None:
            return None
        with database_errors(self._place.name):
            try:
                content = self._files.get(file_id).read()
            except (CorruptGridFile, NoFile):
                content = None
        if content is None or hashlib.sha256(content).hexdigest() != str(file_id).rpartition("/")[2]:
            raise UserError(
                f"{self.place(folder, name)} is not whole, or was written just now: try again, or repair it by `dima sync`."
            )
        return content

    def place(self, folder: str, name: str = "") -> str:
        return (
            f"{folder}/{name} in the database of {self._place.name}"
            if name
            else f"{folder} in the database of {self._place.name}"
        )

    def with_summary(self, parent: str) -> list[str]:
        return sorted(
            cell
            for cell, files in self._artifacts.items()
            if cell.startswith(f"{parent}/") and "summary.json" in files
        )


def _files_of(run: dict[str, Any]) -> dict[str, Any]:
    return {artifact["name"]: artifact["file_id"] for artifact in run.get("artifacts", [])}
