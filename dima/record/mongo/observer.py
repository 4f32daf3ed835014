"""The record of a running cell in MongoDB, in Sacred's schema."""

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
"""The least pause between two updates."""
REST_SHARE = 30
"""The pause after an update is at least so many times its duration."""
END_SECONDS = 30.0
STOPPED_SECONDS = 5.0
"""How long a run waits for its last update; less if it was stopped, because it may soon be killed."""


class DatabaseObserver(RunObserver):
    """Publishes the cell's files from a thread; the run continues whatever the database does.

    Sacred's MongoObserver appends each metric to a growing document, so a failed call is lost and a repeated
    one is there twice; Sacred never calls a failed observer again; and a run cannot continue under its id.
    Here every update writes everything again from the event log, with the function of `dima sync`: a later
    update repairs a failed one, and a killed cell that resumes is the same run.

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
        """Start the thread; the file observer numbers Sacred's run."""
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
            late = f"did not take the end of this run within {seconds:.0f} s"
            self._warn(f"The database of {self._place.name} {late}.")
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
                fault = f"could not be written to ({type(error).__name__})"
                self._warn(f"The database of {self._place.name} {fault}.")
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
        """Warn once a run."""
        if not self._silent:
            self._silent = True
            more = "The run continues; `dima sync` brings the database up to date."
            print(f"dima: {sentence} {more}", file=sys.stderr, flush=True)
