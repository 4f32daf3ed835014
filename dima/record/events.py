"""`events.jsonl`: the truth about a run, append-only, one JSON object a line.

A run that continues from a checkpoint repeats what it had logged after it. Where it repeats itself exactly (always on one CPU device),
the lines are there already and are not written twice; where it does not, a `rewind` line says which earlier lines are superseded.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dima.errors import UserError

Event = dict[str, Any]
VARYING = ("seq", "wall_seconds")


class EventLog:
    """The writer of one run's log.

    Args:
        path: of the file; continued where it exists.
        position: how many effective events the state that the run continues from had seen; later ones are expected to come again.

    Raises:
        UserError: the file holds fewer events than `position`, or something that is no event.
    """

    def __init__(self, path: Path, position: int = 0) -> None:
        _drop_torn_line(path)
        events, self._sequence = _effective(path)
        if len(events) < position:
            raise UserError(f"{path} holds {len(events)} events where the checkpoint has seen {position}: it is not the log of this run.")
        self.position = position
        self._expected = events[position:]
        self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, wall_seconds: float, **fields: Any) -> None:
        """Append one event and flush it. A number that is not finite is logged as null."""
        event = {"kind": kind, **{name: _finite(value) for name, value in fields.items()}}
        if self._expected:
            known = self._expected.pop(0)
            if {name: value for name, value in known.items() if name not in VARYING} == json.loads(json.dumps(event)):
                self.position += 1
                return
            self._append({"kind": "rewind", "to": known["seq"]}, wall_seconds)
            self._expected = []
        self._append(event, wall_seconds)
        self.position += 1

    def _append(self, event: Event, wall_seconds: float) -> None:
        line = {"seq": self._sequence, **event, "wall_seconds": round(wall_seconds, 3)}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        self._sequence += 1

    def sync(self) -> None:
        """Flush to the disk itself: before a checkpoint counts on what is logged."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(path: Path) -> list[Event]:
    """The effective events: complete lines in order, without those that a `rewind` superseded.

    Raises:
        UserError: a line other than the last is no JSON object with the next sequence number.
    """
    return _effective(path)[0]


def parse_events(content: bytes, place: str, kind: str | None = None) -> list[Event]:
    """The effective events in the content of a log, as `read_events`; `place` names it where it is not in order.

    Of events of another `kind` than the one asked for no more is read than where they begin and end: most of a long log are scalars.
    """
    return _parse_log(content, place, kind)[0]


def _effective(path: Path) -> tuple[list[Event], int]:
    """Effective events and the next sequence number."""
    return _parse_log(path.read_bytes(), str(path)) if path.exists() else ([], 0)


def _parse_log(content: bytes, place: str, kind: str | None = None) -> tuple[list[Event], int]:
    text = content.decode("utf-8", errors="replace")
    lines = text[: text.rfind("\n") + 1].splitlines()
    events: list[Event] = []
    for number, line in enumerate(lines):
        begin = f'{{"seq": {number}, "kind": "'
        if kind and line.startswith(begin) and line.endswith("}") and not line.startswith((f'{begin}{kind}"', f'{begin}rewind"')):
            continue
        event = _parse(line)
        if event is None or event.get("seq") != number or "kind" not in event:
            raise UserError(f"Line {number + 1} of {place} is not event {number} of a run.")
        if event["kind"] == "rewind":
            events = [kept for kept in events if kept["seq"] < event["to"]]
        elif kind in (None, event["kind"]):
            events.append(event)
    return events, len(lines)


def _parse(line: str) -> Event | None:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


def _drop_torn_line(path: Path) -> None:
    """Cut off what a kill left of a line that was being written."""
    if not path.exists():
        return
    content = path.read_bytes()
    complete = content.rfind(b"\n") + 1
    if complete < len(content):
        with path.open("r+b") as file:
            file.truncate(complete)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    return value
