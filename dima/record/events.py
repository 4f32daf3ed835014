"""`events.jsonl`: the truth about a run, append-only, one JSON value a line.

A line is an object with its own number (`seq`, from 0) and kind, or a row of logged numbers.

- `evaluation`: one evaluation, its episodes as lists (one value stands for a list of equal ones); or the mean
over `episodes`.
- `columns`: what rows with this `number` hold: where they belong, then the names of each group's values. Said
once.
- a row: `[number of its columns, place..., seconds, values...]`.
- `rewind`: the lines from `to` up to here are superseded. A run that continues from a checkpoint repeats what
  it had logged after it. Where it repeats itself exactly (always on one CPU device), the lines are there
  already and are not written twice.

What is read are events: one for each episode and for each group of a row. Logs of earlier versions have a
line for each; both may stand in one log.
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
"""What is known of each episode of an evaluation."""
DIGITS = 3
"""Significant digits that a logged number keeps, as many as the report shows: a million steps of DIMA are
1,000 rows of them, and packed they take half of a cell's 40 kB. Whole numbers and returns keep all."""


class EventLog:
    """The writer of one run's log.

    Args: path: of the file; continued where it exists. position: how many effective events the state that the
        run continues from had seen; later ones are expected to come again.

    Raises:
        UserError: the file holds fewer events than `position`, or something that is no event.
    """

    def __init__(self, path: Path, position: int = 0) -> None:
        _drop_torn_line(path)
        log = _read_log(path)
        if len(log.events) < position:
            raise UserError(
                f"{path} holds {len(log.events)} events where the checkpoint has seen {position}: it is not the log of this run."
            )
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
            place: where the numbers belong, `env_steps` among it.
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
        """Append one evaluation and flush it: `episodes` that have the same keys, at `place`.

        As `scalars` for what is not finite.
        """
        entries = [{name: _finite(value) for name, value in episode.items()} for episode in episodes]
        listed = {name: [entry[name] for entry in entries] for name in entries[0]}
        numbers = (
            entries[0]
            if "episodes" in entries[0]
            else {name: _once(name, values) for name, values in listed.items()}
        )
        told = {"kind": "evaluation", **place, **numbers}
        events = _episodes(told)
        if not self._repeats(events, wall_seconds):
            self._append({"seq": self._lines, **told, "wall_seconds": round(wall_seconds, 1)})
        self.position += len(events)

    def _repeats(self, events: Sequence[Event], wall_seconds: float) -> bool:
        """Whether the log holds these events next. Where it holds others, they are superseded."""
        if [_content(event) for event in self._expected[: len(events)]] == [
            _content(event) for event in events
        ]:
            del self._expected[: len(events)]
            return True
        if self._expected:
            to = self._expected[0]["seq"]
            self._append(
                {"seq": self._lines, "kind": "rewind", "to": to, "wall_seconds": round(wall_seconds, 1)}
            )
            self._expected = []
        return False

    def _number_of(self, columns: Columns) -> int:
        """The number under which rows with these columns are known, said before the first of them."""
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
        """Flush to the disk itself: before a checkpoint counts on what is logged."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(path: Path) -> list[Event]:
    """The effective events: those of complete lines in order, without those that a `rewind` superseded.

    Raises:
        UserError: a line other than the last is none of this format, or is not where its number says.
    """
    return _read_log(path).events


def parse_events(content: bytes, place: str, kind: str | None = None) -> list[Event]:
    """The effective events in the content of a log, as `read_events`.

    `place` names it where it is not in order.

    Of events of another `kind` than the one asked for no more is read than where they begin and end: most of
    a long log are scalars.
    """
    return _parse_log(content, place, kind).events


def logged(name: str, value: float) -> float | None:
    """The number of that name as it is logged."""
    finite = _finite(float(value))
    if finite is None:
        return None
    if finite.is_integer():
        return int(finite)
    return finite if name in EPISODE else float(f"{finite:.{DIGITS}g}")


@dataclass
class _Log:
    """What lines hold: effective events, the columns of rows by number, and how many lines there are."""

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
    """Add what the line holds. Raises ValueError, or what else a wrong type raises, where it is none of this
    format.
    """
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
    """The events of an evaluation, one an episode; the evaluation itself where only a mean is known."""
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
    """One value for a list of equal ones.

    Returns stay a list, by which episodes are told from a mean over them.
    """
    return values if name == "return" or any(value != values[0] for value in values) else values[0]


def _content(event: Event) -> Event:
    """What a run that repeats itself logs again; an earlier version logged all digits of a number."""
    content = {name: value for name, value in event.items() if name not in VARYING}
    if event["kind"] == "scalars":
        content["values"] = {
            name: None if value is None else logged(name, value) for name, value in event["values"].items()
        }
    return content


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
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
