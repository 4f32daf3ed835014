"""The records of a grid in MongoDB, where a running cell or `dima sync` writes them."""

from __future__ import annotations

import hashlib

from dima.analysis.records.files import ListedRecords
from dima.errors import UserError
from dima.record.mongo.database import Address, connect, database_errors


class DatabaseRecords(ListedRecords):
    """The files of the current attempt of every cell.

    Raises:
        DatabaseError: the database cannot be used; so does `read`.
    """

    def __init__(self, place: Address, grid_name: str) -> None:
        from gridfs import GridFS

        self._place = place
        database = connect(place)
        current = {"info.grid": grid_name, "info.current": True}
        with database_errors(place.name):
            self._files = GridFS(database)
            found = database["runs"].find(current, {"artifacts": 1, "info.cell": 1})
            runs = list(found.sort("info.attempt", 1))
        cells = {
            run["info"]["cell"]: {file["name"]: file["file_id"] for file in run.get("artifacts", [])}
            for run in runs
        }
        super().__init__(f"the database of {place.name}", cells)

    def read(self, folder: str, name: str) -> bytes | None:
        """The content of the cell's file, None where it has none.

        Raises:
            UserError: the file is incomplete.
        """
        from gridfs.errors import CorruptGridFile, NoFile

        file_id = self._cells.get(folder, {}).get(name)
        if file_id is None:
            return None
        with database_errors(self._place.name):
            try:
                content = self._files.get(file_id).read()
            except (CorruptGridFile, NoFile):
                content = None
        if content is None or hashlib.sha256(content).hexdigest() != str(file_id).rpartition("/")[2]:
            hint = "try again, or repair it by `dima sync`"
            raise UserError(f"{self.place(folder, name)} is not whole, or was written just now: {hint}.")
        return content
