"""Text tables: Markdown that a terminal shows aligned, and LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from dima.analysis.returns.ranks import Rank

NONE = "–"
"""What stands where a table has nothing to say."""


class TextTable(NamedTuple):
    """A table of ready-made texts; `numeric` columns are set flush right.

    `notes` stand below, numbered from 1.

    `label` is what nobody may overlook, such as that nothing of it was measured. `ranks` names the best
    cells, which are set in bold, and the second ones, which are underlined, by the number of the row and the
    column.
    """

    title: str
    explanation: str
    heading: Sequence[str]
    numeric: frozenset[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    label: str | None = None
    ranks: Mapping[tuple[int, str], Rank] = {}


def plus_minus(mean: float, deviation: float | None, digits: int = 1) -> str:
    """`12.3 ± 0.4`; a dash where there is no deviation."""
    return f"{mean:.{digits}f} ± {NONE if deviation is None else f'{deviation:.{digits}f}'}"


def note_mark(note: str, notes: list[str]) -> str:
    """The number of the note as it stands behind a text, ` [3]`.

    One that is new is added to the notes, an empty one has no mark.
    """
    if note and note not in notes:
        notes.append(note)
    return f" [{notes.index(note) + 1}]" if note else ""


def to_markdown(table: TextTable) -> str:
    """A GitHub-flavoured Markdown table whose columns line up in a terminal."""
    rows = [
        [_markdown_cell(cell).join(_MARKDOWN_RANKS[rank]) for cell, rank in row] for row in _ranked(table)
    ]
    lines = [list(map(_markdown_cell, table.heading)), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [name in table.numeric for name in table.heading]
    rule = [
        "-" * (width - 1) + ":" if flush else "-" * width for width, flush in zip(widths, right, strict=True)
    ]
    texts = [
        "| "
        + " | ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        )
        for line in (lines[0], rule, *lines[1:])
    ]
    notes = [f"- [{number}] {_markdown_cell(note)}" for number, note in enumerate(table.notes, 1)]
    label = f"**{_markdown_cell(table.label)}**" if table.label else ""
    blocks = [
        f"## {table.title}",
        label,
        table.explanation,
        "\n".join(f"{text} |" for text in texts),
        "\n".join(notes),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def to_latex(table: TextTable) -> str:
    """A `tabular` to be read into a document; it needs the package booktabs."""
    columns = "".join("r" if name in table.numeric else "l" for name in table.heading)
    below = [f"[{number}] {note}" for number, note in enumerate(table.notes, 1)] + [table.explanation]
    lines = [
        f"% {table.title}. Needs \\usepackage{{booktabs}}.",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        *(
            [
                f"\\multicolumn{{{len(columns)}}}{{l}}{{\\bfseries {escape_latex(table.label)}}} \\\\",
                "\\midrule",
            ]
            if table.label
            else []
        ),
        _latex_line(map(escape_latex, table.heading)),
        "\\midrule",
        *(
            _latex_line(escape_latex(cell).join(_LATEX_RANKS[rank]) for cell, rank in row)
            for row in _ranked(table)
        ),
        "\\bottomrule",
        *(
            f"\\multicolumn{{{len(columns)}}}{{p{{0.95\\linewidth}}}}{{\\footnotesize {escape_latex(text)}}} \\\\"
            for text in below
        ),
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """`text` with LaTeX's special characters escaped, and minus, plus-minus, > and the dash in their LaTeX
    form.
    """
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return re.sub(r"(?<![\w.)])-(?=\d)", "$-$", escaped)


def _markdown_cell(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _ranked(table: TextTable) -> Iterator[list[tuple[str, Rank]]]:
    """Every cell of the rows with its rank."""
    for number, row in enumerate(table.rows):
        yield [
            (cell, table.ranks.get((number, column), ""))
            for column, cell in zip(table.heading, row, strict=True)
        ]


# what stands before and after a cell of each rank
_MARKDOWN_RANKS: Mapping[Rank, tuple[str, str]] = {
    "best": ("**", "**"),
    "second": ("<ins>", "</ins>"),
    "": ("", ""),
}


_LATEX_RANKS: Mapping[Rank, tuple[str, str]] = {
    "best": ("\\textbf{", "}"),
    "second": ("\\underline{", "}"),
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
