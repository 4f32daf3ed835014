"""Tables for machines: CSV with nine significant digits."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Line = TypeVar("Line")
FLOATS = "%.9g"
"""Nine significant digits: equal on every machine, whatever the order of summation did to the last bits."""


def to_csv(rows: Sequence[Line], columns: Mapping[str, Callable[[Line], object]]) -> str:
    """One line a row. Values that differ between seeds are joined by `;`.

    What is unknown or may not be computed is left empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([text_of(read(row)) for read in columns.values()] for row in rows)
    return text.getvalue()


def text_of(value: object) -> str:
    """How a table for machines writes a value."""
    return "" if value is None else FLOATS % value if isinstance(value, float) else str(value)
