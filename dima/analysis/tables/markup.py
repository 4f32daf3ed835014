"""Text tables: Markdown that a terminal shows aligned, and LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from dima.analysis.returns.ranks import Rank


class TextTable(NamedTuple):
    """A table of texts.

    Attributes:
        numeric: the columns that are aligned right.
        notes: below the table, numbered from 1.
        label: a warning above the table, such as that its records are synthetic.
        ranks: of cells by row number and column; the best are set in bold, the second best underlined.
    """

    title: str
    explanation: str
    heading: Sequence[str]
    numeric: frozenset[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    label: str | None = None
    ranks: Mapping[tuple[int, str], Rank] = {}


def note_mark(note: str, notes: list[str]) -> str:
    """The mark of a note, ` [3]`; a new note is added to the notes, an empty one has no mark."""
    if note and note not in notes:
        notes.append(note)
    return f" [{notes.index(note) + 1}]" if note else ""


def to_markdown(table: TextTable) -> str:
    """A GitHub-flavoured Markdown table whose columns line up in a terminal."""
    columns = []
    rows = _cells(table, _markdown_cell, _MARKDOWN_RANKS)
    for number, heading in enumerate(map(_markdown_cell, table.heading)):
        cells = [row[number] for row in rows]
        width, right = max(map(len, [heading, *cells])), table.heading[number] in table.numeric
        rule = "-" * (width - 1) + ":" if right else "-" * width
        columns.append([f"{text:{'>' if right else '<'}{width}}" for text in (heading, rule, *cells)])
    lines = [f"| {' | '.join(line)} |" for line in zip(*columns, strict=True)]
    notes = [f"- [{number}] {_markdown_cell(note)}" for number, note in enumerate(table.notes, 1)]
    label = f"**{_markdown_cell(table.label)}**" if table.label else ""
    blocks = [f"## {table.title}", label, table.explanation, "\n".join(lines), "\n".join(notes)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def to_latex(table: TextTable) -> str:
    """A `tabular` to be read into a document; it needs the package booktabs."""
    columns = "".join("r" if name in table.numeric else "l" for name in table.heading)
    whole = rf"\multicolumn{{{len(columns)}}}"
    label = rf"{whole}{{l}}{{\bfseries {escape_latex(table.label)}}} \\" if table.label else None
    below = [f"[{number}] {note}" for number, note in enumerate(table.notes, 1)] + [table.explanation]
    lines = [
        rf"% {table.title}. Needs \usepackage{{booktabs}}.",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *([label, r"\midrule"] if label else []),
        _latex_line(map(escape_latex, table.heading)),
        r"\midrule",
        *map(_latex_line, _cells(table, escape_latex, _LATEX_RANKS)),
        r"\bottomrule",
        *(rf"{whole}{{p{{0.95\linewidth}}}}{{\footnotesize {escape_latex(text)}}} \\" for text in below),
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """`text` with LaTeX's special characters escaped, and signs such as minus and ± in LaTeX's form."""
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return re.sub(r"(?<![\w.)])-(?=\d)", "$-$", escaped)


def _markdown_cell(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _cells(
    table: TextTable, escape: Callable[[str], str], marks: Mapping[Rank, tuple[str, str]]
) -> list[list[str]]:
    """The cells of every row, escaped, between the marks of their rank."""
    return [
        [
            escape(cell).join(marks[table.ranks.get((number, heading), "")])
            for heading, cell in zip(table.heading, row, strict=True)
        ]
        for number, row in enumerate(table.rows)
    ]


_MARKDOWN_RANKS: Mapping[Rank, tuple[str, str]] = {
    "best": ("**", "**"),
    "second": ("<ins>", "</ins>"),
    "": ("", ""),
}
_LATEX_RANKS: Mapping[Rank, tuple[str, str]] = {
    "best": (r"\textbf{", "}"),
    "second": (r"\underline{", "}"),
    "": ("", ""),
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    ">": "$>$",
    "<": "$<$",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
