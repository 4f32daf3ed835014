"""Reading what `dima study` wrote about one cell. A file that is not whole is refused by name and never averaged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import NamedTuple, TypeVar

from dima.errors import UserError

Value = TypeVar("Value")
Key = tuple[str | float, ...]
"""What names a number within a study, in the order of the study's `keys`."""


@dataclass(frozen=True)
class Form:
    """The columns of a study.

    Attributes:
        keys: the columns that name a row, each with what reads it; it raises ValueError for what cannot stand there.
        quantities: the columns that are averaged over seeds.
        intervals: for a quantity, the two columns with its interval within the cell.
    """

    keys: Mapping[str, Callable[[str], str | float]]
    quantities: tuple[str, ...]
    intervals: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def numbers(self) -> list[str]:
        """The columns that must be finite numbers."""
        return [*self.quantities, *(name for pair in self.intervals.values() for name in pair)]


Rows = dict[Key, dict[str, float]]
"""A cell's numbers by column, by key."""


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"it is none of {', '.join(choices)}")
        return text

    return read


def _whole(lowest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or int(text) < lowest:
            raise ValueError(f"it is no whole number from {lowest} up")
        return int(text)

    return read


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("it is no number") from None
    if not isfinite(value):
        raise ValueError("it is not finite")
    return value


def _dimension(text: str) -> str:
    return text if text == "mean" else str(_whole(0)(text))


def read_order(text: str) -> str:
    """`text`, which must name an order of the agents. Raises ValueError for anything else."""
    if text not in ("descending", "ascending", "random", "none") and not re.fullmatch(r"[1-9][0-9]*(-[1-9][0-9]*)*", text):
        raise ValueError("it is neither descending, ascending, random nor none, nor a list of agents such as 2-1-1-2")
    return text


FORMS = {
    "prediction": Form(
        {"split": _one_of("train", "held-out"), "kind": _one_of("model", "decoder"), "dimension": _dimension, "horizon": _whole(1)},
        ("error",),
    ),
    "orders": Form({"order": read_order, "horizon": _whole(1)}, ("error",)),
    # the order of a model that has none, because it does not reveal the actions one after another, is called none
    "gain": Form({"order": read_order, "agent": _whole(1), "position": _whole(0)}, ("gain", "correlation"), {"gain": ("low", "high")}),
    "calibration": Form(
        {"kind": _one_of("reward", "termination"), "low": _finite, "high": _finite},
        ("predicted", "observed", "count"),
        {"observed": ("observed_low", "observed_high")},
    ),
}


class StudyFile(NamedTuple):
    """The rows of a cell's study, and what a file that no run made says of itself in its column `synthetic`."""

    rows: Rows
    synthetic: str | None


def read_study(content: bytes, place: str, study: str) -> StudyFile:
    """The rows in the order of the file, which messages call `place`; bins of a calibration that hold nothing are left out.

    Raises:
        UserError: the file is no text, torn, lacks a column, holds a value that cannot stand there or a row twice, or holds no row.
    """
    form = FORMS[study]
    rows: Rows = {}
    labels: set[str | None] = set()
    for line, values in _lines(content, place, form, study):
        labels.add(values.get("synthetic") or None)
        if values.get("count") == "0":
            continue
        key = tuple(_value(place, line, name, values[name], read) for name, read in form.keys.items())
        if key in rows:
            raise UserError(f"{place}, line {line}: there is a second row of {describe(study, key)}.")
        rows[key] = {name: _value(place, line, name, values[name], _finite) for name in form.numbers}
    if not rows:
        raise UserError(f"{place} holds no row.")
    if len(labels) > 1:
        raise UserError(f"{place} holds synthetic rows among others.")
    return StudyFile(rows, next(iter(labels)))


def describe(study: str, key: Key) -> str:
    """The key in words."""
    return ", ".join(f"{name} {value}" for name, value in zip(FORMS[study].keys, key, strict=True))


def _lines(content: bytes, place: str, form: Form, study: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The number and the columns of every line below the first one."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{place} is no text in UTF-8.") from None
    header, *lines = [line.split(",") for line in text.splitlines()] or [[]]  # no value of a study holds a comma
    for name in [*form.keys, *form.numbers]:
        if name not in header:
            raise UserError(f"{place} has no column {name!r}: it is no study {study}, or its first line is torn.")
    if not text.endswith("\n"):
        raise UserError(f"{place} ends within a line: it was not written to its end.")
    for line, fields in enumerate(lines, 2):
        if len(fields) != len(header):
            raise UserError(f"{place}, line {line}: the line is torn, it has {len(fields)} values for {len(header)} columns.")
        yield line, dict(zip(header, fields, strict=True))


def _value(place: str, line: int, name: str, text: str, read: Callable[[str], Value]) -> Value:
    try:
        return read(text)
    except ValueError as error:
        raise UserError(f"{place}, line {line}: the {name} {text!r} cannot be used, {error}.") from None
