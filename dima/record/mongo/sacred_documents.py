"""An attempt's files as documents of Sacred's schema, `runs` and `metrics`.

They depend on the files alone: writing them again changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from bson import ObjectId

from dima.errors import UserError
from dima.record.events import Event, parse_events
from dima.record.snapshot import FILES, Snapshot

Document = dict[str, Any]
POINTS = 100_000
"""Of one metric document: a third of MongoDB's 16 MB."""
_LARGEST_INTEGER = 2**63 - 1
_STATUS = {
    "running": "RUNNING",
    "completed": "COMPLETED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "interrupted": "INTERRUPTED",
}


class StoredFile(NamedTuple):
    """A file for GridFS. Its id contains its digest, so other content is another file."""

    id: str
    name: str
    filename: str
    content: bytes


def stored_files(snapshot: Snapshot) -> list[StoredFile]:
    """The snapshot's files under the names that Sacred gives to artifacts."""
    run_id = snapshot.attempt.run_id
    return [
        StoredFile(
            f"{run_id}/{name}/{hashlib.sha256(content).hexdigest()}",
            name,
            artifact_filename(run_id, name),
            content,
        )
        for name, content in snapshot.files.items()
    ]


def artifact_filename(run_id: str, name: str) -> str:
    """What Sacred calls an artifact in GridFS."""
    return f"artifact://runs/{run_id}/{name}"


def config_hash(snapshot: Snapshot) -> str | None:
    """The digest of the attempt's configuration."""
    return snapshot.json("config.json").get("digest") or snapshot.json("summary.json").get("config_hash")


def run_document(snapshot: Snapshot, metrics: list[Document], files: list[StoredFile]) -> Document:
    """The document of `runs`; tables find the run by `info`, which also has Sacred's list of metrics."""
    attempt, status, summary = snapshot.attempt, snapshot.json("status.json"), snapshot.json("summary.json")
    starts = _starts(snapshot)
    process = starts[-1] if starts else {}
    word = _status_word(snapshot)
    updated = status.get("updated")
    heartbeat = datetime.fromtimestamp(updated, UTC) if isinstance(updated, int | float) else None
    document = {
        "_id": attempt.run_id,
        "experiment": {
            "name": "dima",
            "base_dir": "",
            "sources": [],
            "repositories": [
                {"url": None, "commit": start.get("commit"), "dirty": start.get("dirty")} for start in starts
            ],
            "dependencies": [
                f"{name}=={version}" for name, version in sorted(process.get("versions", {}).items())
            ],
            "mainfile": None,
        },
        "format": "MongoObserver-0.7.0",
        "command": "main",
        "host": {
            "hostname": process.get("host"),
            "cpu": process.get("hardware"),
            "python_version": process.get("python"),
            "ENV": {},
        },
        "start_time": _start_time(snapshot),
        "heartbeat": heartbeat,
        "stop_time": None if word in ("RUNNING", "QUEUED") else heartbeat,
        "status": word,
        "config": snapshot.json("config.json").get("config", {}),
        "meta": {},
        "result": summary["final"].get("mean") if isinstance(summary.get("final"), dict) else None,
        "fail_trace": [status["message"]] if word == "FAILED" and status.get("message") else [],
        "captured_out": "",
        "resources": [],
        "artifacts": [
            {"name": file.name, "file_id": file.id}
            for file in sorted(files, key=lambda file: FILES.index(file.name))
        ],
        "info": {
            "grid": attempt.grid,
            "cell": attempt.cell,
            "attempt": attempt.number,
            "current": attempt.current,
            "config_hash": config_hash(snapshot),
            "metrics": [{"name": metric["name"], "id": str(metric["_id"])} for metric in metrics],
        },
    }
    return _storable(document)


def metric_documents(snapshot: Snapshot, points: int = POINTS) -> list[Document]:
    """The documents of `metrics`, one a metric, or several (`chunk`) for more than `points` points.

    Raises:
        UserError: a line of the event log is no event of this format.
    """
    place = str(snapshot.attempt.folder / "events.jsonl")
    begun = _start_time(snapshot) or datetime.fromtimestamp(0, UTC)
    series: dict[str, dict[str, list[Any]]] = {}
    try:
        events = parse_events(snapshot.files.get("events.jsonl", b""), place)
        for name, step, value, seconds in _points(events):
            columns = series.setdefault(name, {"steps": [], "values": [], "timestamps": []})
            columns["steps"].append(step)
            columns["values"].append(value)
            columns["timestamps"].append(begun + timedelta(seconds=seconds))
    except (KeyError, TypeError, AttributeError, OverflowError):
        raise UserError(f"{place} holds an event that is not of this format.") from None
    return [
        _metric(
            snapshot.attempt.run_id,
            name,
            number,
            {column: entries[first : first + points] for column, entries in columns.items()},
        )
        for name, columns in sorted(series.items())
        for number, first in enumerate(range(0, len(columns["steps"]), points))
    ]


def _metric(run_id: str, name: str, chunk: int, columns: dict[str, list[Any]]) -> Document:
    """A document with an ObjectId, by which Sacred's readers find it."""
    identity = hashlib.sha256(f"{run_id}\n{name}\n{chunk}".encode()).digest()[:12]
    return {"_id": ObjectId(identity), "run_id": run_id, "name": name, "chunk": chunk, **columns}


def _points(events: list[Event]) -> Iterator[tuple[str, int, Any, float]]:
    """Name, environment steps, value and seconds of every logged scalar and mean evaluation return."""
    for event in events:
        if event["kind"] == "scalars":
            for name, value in event["values"].items():
                yield f"{event['group']}.{name}", event["env_steps"], value, event["wall_seconds"]
    evaluations = (event for event in events if event["kind"] == "evaluation")
    for _, group in groupby(evaluations, key=lambda event: event["grid_step"]):
        episodes = list(group)
        returns = [episode["return"] for episode in episodes]
        mean = None if None in returns else sum(returns) / len(returns)
        yield "evaluation.return", episodes[-1]["env_steps"], mean, episodes[-1]["wall_seconds"]


def _status_word(snapshot: Snapshot) -> str:
    """Sacred's word. As in tables, only a cell with a summary is completed."""
    complete = "summary.json" in snapshot.files
    state = snapshot.json("status.json").get("state", "completed" if complete else None)
    if state == "completed" and not complete:
        return "INTERRUPTED"
    return _STATUS.get(state, "QUEUED") if isinstance(state, str) else "QUEUED"


def _starts(snapshot: Snapshot) -> list[Document]:
    starts = snapshot.json("provenance.json").get("starts", [])
    return [start for start in starts if isinstance(start, dict)] if isinstance(starts, list) else []


def _start_time(snapshot: Snapshot) -> datetime | None:
    starts = _starts(snapshot)
    try:
        return datetime.strptime(starts[0]["started"], "%Y-%m-%dT%H:%M:%S%z").astimezone(UTC)
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _storable(value: Any) -> Any:
    """`value` with integers that are too large for MongoDB as text."""
    if isinstance(value, dict):
        return {str(key): _storable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_storable(entry) for entry in value]
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return str(value)
    return value
