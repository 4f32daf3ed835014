"""`events.jsonl`: the log of a run, append-only, one JSON value a line.

A line is an object with its own number (`seq`, from 0) and kind, or a row of logged numbers.

- `evaluation`: one evaluation, its episodes as lists (one value for a list of equal ones), or a mean.
- `columns`: the columns of rows with this `number`: their place, then the names of each group's values.
- a row: `[number of its columns, place..., seconds, values...]`.
- `rewind`: the lines from `to` up to here are superseded. A run that resumes from a checkpoint repeats what
  it logged after it. Lines that it repeats exactly, as always on a CPU, are not written twice.

Reading gives events, one for each episode and for each group of a row. Logs of earlier versions have a line
for each; one log may contain both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dima.errors import UserError

Event = dict[str, Any]
Columns = dict[str, Any]
VARYING = ("seq", "wall_seconds")
EPISODE = ("return", "length", "success")
"""The values of each episode of an evaluation."""
DIGITS = 3
"""Significant digits of a logged number, as the report shows them: a million steps of DIMA are 1,000 rows,
which packed take half of a cell's 40 kB. Whole numbers and returns keep all digits."""


class EventLog:
    """The writer of one run's log.

    Args:
        path: of the file, which may exist.
        position: the number of effective events at the checkpoint from which the run resumes; it is expected
            to repeat later ones.

    Raises:
        UserError: the file has fewer events than `position`, or a line that is no event.
    """

    def __init__(self, path: Path, position: int = 0) -> None:
        _drop_torn_line(path)
        log = _read_log(path)
        if len(log.events) < position:
            counts = f"{len(log.events)} events where the checkpoint has seen {position}"
            raise UserError(f"{path} holds {counts}: it is not the log of this run.")
        self.position = position
        self._expected = log.events[position:]
        self._columns, self._lines = log.columns, log.lines
        self._file = path.open("a", encoding="utf-8")

    def scalars(
        self, wall_seconds: float, place: Mapping[str, int], groups: Mapping[str, Mapping[str, float]]
    ) -> None:
        """Append one row and flush it. A number that is not finite is logged as null.

        Args:
            wall_seconds: since the run began.
            place: of the numbers in training, such as `env_steps`.
            groups: numbers by group and name.
        """
        values = {
            group: {name: logged(name, value) for name, value in numbers.items()}
            for group, numbers in groups.items()
        }
        events = [
            {"kind": "scalars", **place, "group": group, "values": numbers}
            for group, numbers in values.items()
        ]
        if not self._repeats(events, wall_seconds):
            number = self._number_of(
                {"place": list(place), "groups": {group: list(numbers) for group, numbers in values.items()}}
            )
            numbers = [value for group in values.values() for value in group.values()]
            self._append([number, *place.values(), round(wall_seconds, 1), *numbers])
        self.position += len(events)

    def evaluation(self, wall_seconds: float, episodes: Sequence[Mapping[str, Any]], **place: int) -> None:
        """Append one evaluation, `episodes` with the same keys, and flush it; not finite numbers are null."""
        entries = [{name: _finite(value) for name, value in episode.items()} for episode in episodes]
        listed = {name: [entry[name] for entry in entries] for name in entries[0]}
        numbers = {name: _once(name, values) for name, values in listed.items()}
        line = {"kind": "evaluation", **place, **(entries[0] if "episodes" in entries[0] else numbers)}
        events = _episodes(line)
        if not self._repeats(events, wall_seconds):
            self._append({"seq": self._lines, **line, "wall_seconds": round(wall_seconds, 1)})
        self.position += len(events)

    def _repeats(self, events: Sequence[Event], wall_seconds: float) -> bool:
        """Whether the log has these events next; if it has others, they are superseded."""
        expected = self._expected[: len(events)]
        if list(map(_content, expected)) == list(map(_content, events)):
            del self._expected[: len(events)]
            return True
        if self._expected:
            rewind = {"seq": self._lines, "kind": "rewind", "to": self._expected[0]["seq"]}
            self._append({**rewind, "wall_seconds": round(wall_seconds, 1)})
            self._expected = []
        return False

    def _number_of(self, columns: Columns) -> int:
        """The number of these columns, which are logged before the first row with them."""
        known = [json.dumps(others) for others in self._columns]  # as text: the order of groups counts
        if json.dumps(columns) not in known:
            self._append({"seq": self._lines, "kind": "columns", "number": len(known), **columns})
            self._columns.append(columns)
            return len(known)
        return known.index(json.dumps(columns))

    def _append(self, line: Event | list[Any]) -> None:
        self._file.write(json.dumps(line, allow_nan=False, separators=(",", ":")) + "\n")
        self._file.flush()
        self._lines += 1

    def sync(self) -> None:
        """Flush to the disk itself, before a checkpoint refers to the log."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(path: Path) -> list[Event]:
    """The effective events: those of complete lines in order, without superseded ones.

    Raises:
        UserError: a line other than the last is not of this format, or has a wrong number.
    """
    return _read_log(path).events


def parse_events(content: bytes, place: str, kind: str | None = None) -> list[Event]:
    """The effective events in the content of a log, as `read_events`; messages call it `place`.

    With a `kind`, other events are skipped without parsing them: most of a long log are scalars.
    """
    return _parse_log(content, place, kind).events


def logged(name: str, value: float) -> float | None:
    """The number of that name as it is logged, None if it is not finite."""
    finite = _finite(float(value))
    if finite is None:
        return None
    if finite.is_integer():
        return int(finite)
    return finite if name in EPISODE else float(f"{finite:.{DIGITS}g}")


@dataclass
class _Log:
    """Effective events, the columns of rows by number, and the number of lines."""

    events: list[Event] = field(default_factory=list)
    columns: list[Columns] = field(default_factory=list)
    lines: int = 0


def _read_log(path: Path) -> _Log:
    return _parse_log(path.read_bytes(), str(path)) if path.exists() else _Log()


def _parse_log(content: bytes, place: str, kind: str | None = None) -> _Log:
    text = content.decode("utf-8", errors="replace")
    log = _Log()
    for line in text[: text.rfind("\n") + 1].splitlines():
        if kind is None or not _is_of_another_kind(line, log.lines, kind):
            try:
                _read_line(log, json.loads(line), kind)
            except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
                raise UserError(
                    f"Line {log.lines + 1} of {place} is not event {log.lines} of a run."
                ) from None
        log.lines += 1
    return log


def _is_of_another_kind(line: str, number: int, kind: str) -> bool:
    if line.startswith("["):
        return kind != "scalars" and line.endswith("]")
    for begin in (f'{{"seq":{number},"kind":"', f'{{"seq": {number}, "kind": "'):
        if line.startswith(begin) and line.endswith("}"):
            return not line.startswith(tuple(f'{begin}{needed}"' for needed in (kind, "rewind", "columns")))
    return False


def _read_line(log: _Log, line: Any, kind: str | None) -> None:
    """Add the events of the line. Raises ValueError or others for a line that is not of this format."""
    if isinstance(line, list):
        log.events += _groups(line, log)
        return
    if line["seq"] != log.lines:
        raise ValueError("another line's number")
    match line["kind"]:
        case "rewind":
            to = line["to"]
            log.events = [event for event in log.events if event["seq"] < to]
        case "columns":
            if line["number"] != len(log.columns):
                raise ValueError("another number than the next one")
            log.columns.append({"place": line["place"], "groups": line["groups"]})
        case "evaluation" if isinstance(line.get("return"), list):
            log.events += _episodes(line)
        case other if kind in (None, other):
            log.events.append(line)


def _groups(row: list[Any], log: _Log) -> list[Event]:
    """The events of a row, one a group."""
    number, *numbers = row
    columns = log.columns[_natural(number)]
    place = {name: numbers.pop(0) for name in columns["place"]}
    seconds = numbers.pop(0)
    events = [
        {
            "seq": log.lines,
            "kind": "scalars",
            **place,
            "group": group,
            "values": {name: numbers.pop(0) for name in names},
            "wall_seconds": seconds,
        }
        for group, names in columns["groups"].items()
    ]
    if numbers:
        raise ValueError("more values than columns")
    return events


def _episodes(evaluation: Event) -> list[Event]:
    """The events of an evaluation, one an episode, or the evaluation itself if it has only a mean."""
    returns = evaluation["return"]
    if not isinstance(returns, list):
        return [evaluation]
    listed = {
        name: value if isinstance(value, list) else [value] * len(returns)
        for name, value in evaluation.items()
        if name in EPISODE
    }
    common = {name: value for name, value in evaluation.items() if name not in EPISODE}
    columns = zip(*listed.values(), strict=True)
    return [
        {**common, "episode": number, **dict(zip(listed, values, strict=True))}
        for number, values in enumerate(columns)
    ]


def _natural(number: Any) -> int:
    if not isinstance(number, int) or number < 0:
        raise ValueError("no number of columns")
    return number


def _once(name: str, values: list[Any]) -> Any:
    """One value for a list of equal ones; returns stay a list, which distinguishes episodes from a mean."""
    return values if name == "return" or any(value != values[0] for value in values) else values[0]


def _content(event: Event) -> Event:
    """What a repeating run logs again; earlier versions logged all digits of a number."""
    content = {name: value for name, value in event.items() if name not in VARYING}
    if event["kind"] == "scalars":
        content["values"] = {
            name: None if value is None else logged(name, value) for name, value in event["values"].items()
        }
    return content


def _drop_torn_line(path: Path) -> None:
    """Remove an incomplete last line that a kill left."""
    if not path.exists():
        return
    content = path.read_bytes()
    complete = content.rfind(b"\n") + 1
    if complete < len(content):
        with path.open("r+b") as file:
            file.truncate(complete)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
