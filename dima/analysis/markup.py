"""Text tables: Markdown that a terminal shows aligned, and LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class TextTable(NamedTuple):
    """A table of ready-made texts; `numeric` columns are set flush right. `notes` stand below, numbered from 1.

    `label` is what nobody may overlook, such as that nothing of it was measured.
    """

    title: str
    explanation: str
    heading: Sequence[str]
    numeric: frozenset[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    label: str | None = None


def to_markdown(table: TextTable) -> str:
    """A GitHub-flavoured Markdown table whose columns line up in a terminal."""
    lines = [list(map(_markdown_cell, cells)) for cells in (table.heading, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [name in table.numeric for name in table.heading]
    rule = ["-" * (width - 1) + ":" if flush else "-" * width for width, flush in zip(widths, right, strict=True)]
    texts = [
        "| " + " | ".join(cell.rjust(width) if flush else cell.ljust(width) for cell, width, flush in zip(line, widths, right, strict=True))
        for line in (lines[0], rule, *lines[1:])
    ]
    notes = [f"- [{number}] {_markdown_cell(note)}" for number, note in enumerate(table.notes, 1)]
    label = f"**{_markdown_cell(table.label)}**" if table.label else ""
    blocks = [f"## {table.title}", label, table.explanation, "\n".join(f"{text} |" for text in texts), "\n".join(notes)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def to_latex(table: TextTable) -> str:
    """A `tabular` to be read into a document; it needs the package booktabs."""
    columns = "".join("r" if name in table.numeric else "l" for name in table.heading)
    below = [f"[{number}] {note}" for number, note in enumerate(table.notes, 1)] + [table.explanation]
    lines = [
        f"% {table.title}. Needs \\usepackage{{booktabs}}.",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        *([f"\\multicolumn{{{len(columns)}}}{{l}}{{\\bfseries {escape_latex(table.label)}}} \\\\", "\\midrule"] if table.label else []),
        _latex_line(table.heading),
        "\\midrule",
        *map(_latex_line, table.rows),
        "\\bottomrule",
        *(f"\\multicolumn{{{len(columns)}}}{{p{{0.95\\linewidth}}}}{{\\footnotesize {escape_latex(text)}}} \\\\" for text in below),
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """`text` with LaTeX's special characters escaped, and minus, plus-minus, > and the dash in their LaTeX form."""
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return re.sub(r"(?<![\w.)])-(?=\d)", "$-$", escaped)


def _markdown_cell(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(map(escape_latex, cells)) + " \\\\"


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
