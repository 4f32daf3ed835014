"""What a table is made of: its columns to read, its columns for machines, and what is said above it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from dima.analysis.results import GridResults
from dima.analysis.returns.ranks import Rank
from dima.analysis.tables.markup import TextTable, note_mark
from dima.analysis.tables.numbers import exact


class TableRow(Protocol):
    """Every row has a rank, and the label of synthetic records."""

    @property
    def rank(self) -> Rank: ...

    @property
    def synthetic(self) -> str | None: ...


Row = TypeVar("Row", bound=TableRow)


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column to read: the text of a row, and the footnote that the text needs."""

    text: Callable[[Row], str]
    note: Callable[[Row], str] = field(default=lambda _row: "")
    numeric: bool = True


@dataclass(frozen=True)
class TableForm(Generic[Row]):
    """A table without its rows.

    Attributes:
        title: above it, with the name of the grid.
        rows: from what the records show.
        explanation: of the columns.
        columns: to read, by heading.
        ranked: the heading of the column whose best value is bold and whose second best is underlined.
        machine: the columns of the CSV; what is unknown or may not be computed is None.
    """

    title: str
    rows: Callable[[GridResults], Sequence[Row]]
    explanation: str
    columns: Mapping[str, Column[Row]]
    ranked: str
    machine: Mapping[str, Callable[[Row], object]]

    def fill(self, results: GridResults) -> TextTable:
        """The table to read."""
        notes: list[str] = []
        rows = self.rows(results)
        columns = self.columns.values()
        texts = [
            [(column.text(row) + note_mark(column.note(row), notes)).strip() for column in columns]
            for row in rows
        ]
        return TextTable(
            title=f"{self.title}, grid {results.grid.name}",
            explanation=self.explanation,
            heading=tuple(self.columns),
            numeric=frozenset(heading for heading, column in self.columns.items() if column.numeric),
            rows=texts,
            notes=notes,
            label=next((row.synthetic for row in rows if row.synthetic), None),
            ranks={(number, self.ranked): row.rank for number, row in enumerate(rows) if row.rank},
        )

    def to_csv(self, results: GridResults) -> str:
        """One line a row. Values that differ between seeds are joined by `;`."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.machine)
        writer.writerows([exact(read(row)) for read in self.machine.values()] for row in self.rows(results))
        return text.getvalue()
