"""Reading the CSV files that `dima study` writes of one cell; a damaged file is refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import NamedTuple, TypeVar

import pandas as pd

from dima.analysis.records.load import CellRecord
from dima.errors import UserError

Value = TypeVar("Value")
Key = tuple[str | float, ...]
"""Names a number within a study, in the order of `Form.keys`."""


@dataclass(frozen=True)
class Form:
    """The columns of a study.

    Attributes:
        keys: the columns that name a row, each with a reader that raises ValueError for a wrong value.
        quantities: the columns that are averaged over seeds.
        intervals: by quantity, the two columns with its interval within the cell.
    """

    keys: Mapping[str, Callable[[str], str | float]]
    quantities: tuple[str, ...]
    intervals: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The keys as columns of a table that has bounds `low` and `high` of its own."""
        return [f"bin_{name}" if name in ("low", "high") else name for name in self.keys]

    @property
    def numbers(self) -> list[str]:
        """The columns that must be finite numbers."""
        return [*self.quantities, *(name for pair in self.intervals.values() for name in pair)]


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
    if text not in ("descending", "ascending", "random", "none") and not re.fullmatch(
        r"[1-9][0-9]*(-[1-9][0-9]*)*", text
    ):
        raise ValueError(
            "it is neither descending, ascending, random nor none, nor a list of agents such as 2-1-1-2"
        )
    return text


FORMS = {
    "prediction": Form(
        {
            "split": _one_of("train", "held-out"),
            "kind": _one_of("model", "decoder"),
            "dimension": _dimension,
            "horizon": _whole(1),
        },
        ("error",),
    ),
    "orders": Form({"order": read_order, "horizon": _whole(1)}, ("error",)),
    # a model that does not reveal the actions one after another has the order none
    "gain": Form(
        {"order": read_order, "agent": _whole(1), "position": _whole(0)},
        ("gain", "correlation"),
        {"gain": ("low", "high")},
    ),
    "calibration": Form(
        {"kind": _one_of("reward", "termination"), "low": _finite, "high": _finite},
        ("predicted", "observed", "count"),
        {"observed": ("observed_low", "observed_high")},
    ),
}


class StudyFile(NamedTuple):
    """A cell's study.

    Attributes:
        place: the file's name in messages.
        rows: the numbers by column, with the key (`Form.names`) as index.
        synthetic: the label of a synthetic file, from its column of that name.
    """

    place: str
    rows: pd.DataFrame
    synthetic: str | None


def study_of(record: CellRecord, study: str) -> StudyFile | None:
    """The study of a recorded cell, None where there is none. Raises as `read_study`, `refuse_mixture`."""
    name = f"studies/{study}.csv"
    content = record.records.read(record.key.folder, name)
    if content is None:
        return None
    found = read_study(content, record.records.place(record.key.folder, name), study)
    refuse_mixture(record, found.synthetic, found.place)
    return found


def refuse_mixture(record: CellRecord, synthetic: str | None, place: str) -> None:
    """Raise UserError where only one of the file at `place` and the record of its cell is synthetic."""
    if synthetic != record.synthetic:
        raise UserError(f"{place} and the summary of its cell do not agree on whether they are synthetic.")


def read_study(content: bytes, place: str, study: str) -> StudyFile:
    """The rows in the order of the file, which messages call `place`, without empty bins of a calibration.

    Raises:
        UserError: the file is no text, is cut off, lacks a column, or has a wrong value, a row twice or none.
    """
    form = FORMS[study]
    rows: dict[Key, dict[str, float]] = {}
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
    index = pd.MultiIndex.from_tuples(rows, names=form.names)
    return StudyFile(place, pd.DataFrame(list(rows.values()), index), next(iter(labels)))


def describe(study: str, key: Key) -> str:
    """The key in words."""
    return ", ".join(f"{name} {value}" for name, value in zip(FORMS[study].keys, key, strict=True))


def _lines(content: bytes, place: str, form: Form, study: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The number and the columns of every line below the first one."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{place} is no text in UTF-8.") from None
    header, *lines = [line.split(",") for line in text.splitlines()] or [[]]  # no value has a comma
    for name in [*form.keys, *form.numbers]:
        if name not in header:
            raise UserError(
                f"{place} has no column {name!r}: it is no study {study}, or its first line is torn."
            )
    if not text.endswith("\n"):
        raise UserError(f"{place} ends within a line: it was not written to its end.")
    for line, fields in enumerate(lines, 2):
        if len(fields) != len(header):
            counts = f"{len(fields)} values for {len(header)} columns"
            raise UserError(f"{place}, line {line}: the line is torn, it has {counts}.")
        yield line, dict(zip(header, fields, strict=True))


def _value(place: str, line: int, name: str, text: str, read: Callable[[str], Value]) -> Value:
    try:
        return read(text)
    except ValueError as error:
        raise UserError(f"{place}, line {line}: the {name} {text!r} cannot be used, {error}.") from None
