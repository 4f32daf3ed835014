"""Sacred's record in MongoDB, beside its files, while a cell runs."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.observers import RunObserver

from dima.errors import UserError
from dima.record.mongo.database import Address, connect, database_errors
from dima.record.mongo.publish import make_indexes, publish
from dima.record.snapshot import attempts, take

if TYPE_CHECKING:
    from pymongo.database import Database

REST_SECONDS = 10.0
"""Between one publishing and the next, at least."""
REST_SHARE = 30
"""A publishing is followed by a rest of so many times its own length."""
END_SECONDS = 30.0
STOPPED_SECONDS = 5.0
"""What a run waits for its end to be published; less where it was stopped, because who stopped it may not
wait."""


class DatabaseObserver(RunObserver):
    """Publishes the cell's files, in Sacred's schema, from a thread of its own.

    Whatever the database does, the run goes on and ends.

    Sacred's MongoObserver is not used. It appends each metric to a growing document, so that a call that
    fails is lost and one that is repeated is there twice; Sacred calls no observer again that has failed
    once; and a run cannot be continued under its id. Here nothing is handed over that could be lost: the
    event log has it all, and every publishing writes all of it again, with the function that `dima sync`
    uses. So a failure costs nothing but time, the last publishing makes good for all before it, and a cell
    that was killed and goes on is the same run.

    Args:
        place: of the database.
        folder: of the cell.
        grid: of the cell.
        cell: `<task>/<method>/seed-<k>`.
    """

    def __init__(self, place: Address, folder: Path, grid: str, cell: str) -> None:
        self._place, self._folder, self._grid, self._cell = place, folder, grid, cell
        self._database: Database[dict[str, Any]] | None = None
        self._set_aside_published = False
        self._silent = False
        self._last = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="database")

    def started_event(self, *_: Any, **__: Any) -> None:
        """Begin; the file observer numbers Sacred's run."""
        self._thread.start()

    def completed_event(self, *_: Any, **__: Any) -> None:
        """Publish the end."""
        self._end(END_SECONDS)

    def interrupted_event(self, *_: Any, **__: Any) -> None:
        """Publish the end."""
        self._end(STOPPED_SECONDS)

    def failed_event(self, *_: Any, **__: Any) -> None:
        """Publish the end."""
        self._end(STOPPED_SECONDS)

    def _end(self, seconds: float) -> None:
        self._last.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._warn(
                f"The database of {self._place.name} did not take the end of this run within {seconds:.0f} s."
            )
        self._silent = True

    def _work(self) -> None:
        while True:
            last = self._last.is_set()
            begun = time.monotonic()
            try:
                self._publish()
            except UserError as error:
                self._warn(str(error))
            except Exception as error:
                self._warn(
                    f"The database of {self._place.name} could not be written to ({type(error).__name__})."
                )
            if last:
                return
            self._last.wait(max(REST_SECONDS, REST_SHARE * (time.monotonic() - begun)))

    def _publish(self) -> None:
        with database_errors(self._place.name):
            if self._database is None:
                database = connect(self._place)
                make_indexes(database)
                self._database = database
            for attempt in attempts(self._folder, self._grid, self._cell):
                if attempt.current or not self._set_aside_published:
                    publish(self._database, take(attempt))
            self._set_aside_published = True

    def _warn(self, sentence: str) -> None:
        """Once a run."""
        if not self._silent:
            self._silent = True
            print(
                f"dima: {sentence} The run goes on; `dima sync` brings the database up to date.",
                file=sys.stderr,
                flush=True,
            )
