"""Writing an attempt to the database, for running cells and for `dima sync`.

Every write is idempotent, of a single document under an id that the attempt determines. Files and metrics
come first and the run, which refers to them, last: a reader finds an attempt as it was at one moment.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dima.errors import UserError
from dima.record.mongo.sacred_documents import (
    POINTS,
    StoredFile,
    artifact_filename,
    config_hash,
    metric_documents,
    run_document,
    stored_files,
)
from dima.record.snapshot import FILES, Attempt, Snapshot

if TYPE_CHECKING:
    from pymongo.database import Database

CHUNK_BYTES = 1 << 20
"""Of GridFS chunks; readers take the size from the file's document."""
_INDEXES = (
    ("runs", [("info.grid", 1), ("info.cell", 1), ("info.attempt", 1)], False),
    ("runs", [("status", 1), ("start_time", -1)], False),
    ("metrics", [("run_id", 1), ("name", 1), ("chunk", 1)], False),
    ("fs.files", [("filename", 1), ("uploadDate", 1)], False),
    ("fs.chunks", [("files_id", 1), ("n", 1)], True),
)  # fmt: skip
_ATTEMPTS_AT_A_RACE = 5


def make_indexes(database: Database[dict[str, Any]]) -> None:
    """Create missing indexes."""
    for collection, keys, unique in _INDEXES:
        database[collection].create_index(keys, unique=unique)


def publish(database: Database[dict[str, Any]], snapshot: Snapshot, points: int = POINTS) -> int:
    """Make the database's run, metrics and files of the attempt equal to the snapshot.

    Args:
        database: with its indexes.
        snapshot: of one attempt.
        points: of one metric document at most.

    Returns:
        the number of metric documents.

    Raises:
        UserError: the database has the run from another configuration, or a record is not of this format.
        PyMongoError: the database failed; calling again repairs it.
    """
    metrics = metric_documents(snapshot, points)
    files = stored_files(snapshot)
    _claim(database, snapshot)
    for file in files:
        _write_file(database, file)
    _write_metrics(database, snapshot.attempt.run_id, metrics)
    _write_run(database, run_document(snapshot, metrics, files))
    if snapshot.attempt.current:
        _set_others_aside(database, snapshot.attempt)
    _remove_other_files(database, snapshot.attempt.run_id, {file.id for file in files})
    return len(metrics)


def _claim(database: Database[dict[str, Any]], snapshot: Snapshot) -> None:
    """Create the run, or refuse one of another configuration before anything is overwritten."""
    from pymongo.errors import DuplicateKeyError

    begun = run_document(snapshot, [], [])
    if database["runs"].find_one({"_id": begun["_id"]}, {"_id": 1}) is None:
        with suppress(DuplicateKeyError):  # another one was quicker
            database["runs"].insert_one(begun)
    _refuse_another(database, begun["_id"], config_hash(snapshot))


def _refuse_another(database: Database[dict[str, Any]], run_id: str, ours: str | None) -> None:
    there = database["runs"].find_one({"_id": run_id}, {"info.config_hash": 1})
    theirs = None if there is None else there.get("info", {}).get("config_hash")
    if there is not None and theirs != ours:
        hashes = f"from another configuration (hash {theirs}) than this one (hash {ours})"
        remedy = "remove it there, or name another database"
        raise UserError(f"The database holds run {run_id} {hashes}; {remedy}.")


def _write_file(database: Database[dict[str, Any]], file: StoredFile) -> None:
    """Write in GridFS's format, the document before its chunks, so that what a kill leaves can be removed."""
    upload = {"$setOnInsert": {"uploadDate": datetime.now(UTC)}}
    facts = {"filename": file.filename, "length": len(file.content), "chunkSize": CHUNK_BYTES}
    _race(lambda: database["fs.files"].update_one({"_id": file.id}, {"$set": facts, **upload}, upsert=True))
    for number, first in enumerate(range(0, len(file.content), CHUNK_BYTES)):
        chunk = {
            "_id": f"{file.id}/{number}",
            "files_id": file.id,
            "n": number,
            "data": file.content[first : first + CHUNK_BYTES],
        }
        _upsert(database, "fs.chunks", chunk)


def _write_metrics(database: Database[dict[str, Any]], run_id: str, metrics: list[dict[str, Any]]) -> None:
    from pymongo import ReplaceOne

    writes = [ReplaceOne({"_id": metric["_id"]}, metric, upsert=True) for metric in metrics]
    if writes:
        _race(lambda: database["metrics"].bulk_write(writes, ordered=False))
    database["metrics"].delete_many(
        {"run_id": run_id, "_id": {"$nin": [metric["_id"] for metric in metrics]}}
    )


def _write_run(database: Database[dict[str, Any]], run: dict[str, Any]) -> None:
    from pymongo.errors import DuplicateKeyError

    ours = run["info"]["config_hash"]
    try:
        _race(
            lambda: database["runs"].replace_one(
                {"_id": run["_id"], "info.config_hash": ours}, run, upsert=True
            )
        )
    except DuplicateKeyError:
        _refuse_another(database, run["_id"], ours)
        raise


def _set_others_aside(database: Database[dict[str, Any]], attempt: Attempt) -> None:
    """Tables read only one run of a cell."""
    others = {
        "info.grid": attempt.grid,
        "info.cell": attempt.cell,
        "info.current": True,
        "_id": {"$ne": attempt.run_id},
    }
    database["runs"].update_many(others, {"$set": {"info.current": False}})


def _remove_other_files(database: Database[dict[str, Any]], run_id: str, kept: set[str]) -> None:
    """Remove earlier contents of the run's files, chunks first."""
    names = [artifact_filename(run_id, name) for name in FILES]
    for file in list(database["fs.files"].find({"filename": {"$in": names}}, {"_id": 1})):
        if file["_id"] not in kept:
            database["fs.chunks"].delete_many({"files_id": file["_id"]})
            database["fs.files"].delete_one({"_id": file["_id"]})


def _upsert(database: Database[dict[str, Any]], collection: str, document: dict[str, Any]) -> None:
    _race(lambda: database[collection].replace_one({"_id": document["_id"]}, document, upsert=True))


def _race(write: Callable[[], object]) -> None:
    """Repeat `write` after a race of two upserts, which MongoDB reports to the slower one as a duplicate."""
    from pymongo.errors import BulkWriteError, DuplicateKeyError

    for left in reversed(range(_ATTEMPTS_AT_A_RACE)):
        try:
            write()
        except (BulkWriteError, DuplicateKeyError):
            if not left:
                raise
        else:
            return
