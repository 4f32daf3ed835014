"""Aligned Markdown and escaped LaTeX."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from latex import has_booktabs

from dima.analysis.tables.markup import TextTable, escape_latex, note_mark, to_latex, to_markdown
from dima.record.files import replacing, write_atomically

TABLE = TextTable(
    title="Returns",
    explanation="n: seeds",
    heading=("task", "ours"),
    numeric=frozenset({"ours"}),
    rows=[("pen", "1.5 ± 0.2"), ("a|b", "-3.0 ± –")],
    notes=["50 % of a_b"],
)


def test_markdown_lines_up() -> None:
    assert to_markdown(TABLE) == (
        "## Returns\n\nn: seeds\n\n"
        "| task |      ours |\n"
        "| ---- | --------: |\n"
        "| pen  | 1.5 ± 0.2 |\n"
        "| a\\|b |  -3.0 ± – |\n"
        "\n- [1] 50 % of a_b\n"
    )


def test_latex_is_a_booktabs_tabular() -> None:
    assert to_latex(TABLE).splitlines() == [
        "% Returns. Needs \\usepackage{booktabs}.",
        "\\begin{tabular}{lr}",
        "\\toprule",
        "task & ours \\\\",
        "\\midrule",
        "pen & 1.5 $\\pm$ 0.2 \\\\",
        "a\\textbar{}b & $-$3.0 $\\pm$ -- \\\\",
        "\\bottomrule",
        "\\multicolumn{2}{p{0.95\\linewidth}}{\\footnotesize [1] 50 \\% of a\\_b} \\\\",
        "\\multicolumn{2}{p{0.95\\linewidth}}{\\footnotesize n: seeds} \\\\",
        "\\end{tabular}",
    ]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("100% & #1 $2 {x_y}", r"100\% \& \#1 \$2 \{x\_y\}"),
        ("~a^b\\c", r"\textasciitilde{}a\textasciicircum{}b\textbackslash{}c"),
        ("ant-2x4 [-1.5, -2]", "ant-2x4 [$-$1.5, $-$2]"),
        ("P(dima >) <", r"P(dima $>$) $<$"),
    ],
)
def test_special_characters_are_escaped_once(text: str, escaped: str) -> None:
    assert escape_latex(text) == escaped


@pytest.mark.skipif(not has_booktabs(), reason="pdflatex or booktabs is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    body = to_latex(TABLE._replace(notes=["\\ ~ ^ & % $ # _ { } < > |"]))
    text = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}{body}\\end{{document}}"
    (tmp_path / "table.tex").write_text(text, encoding="utf-8")
    subprocess.run(["pdflatex", "-halt-on-error", "table.tex"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "table.pdf").stat().st_size > 1000


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_atomically(path, "old")

    def fail() -> None:
        with replacing(path) as aside:
            aside.write_text("half")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.csv", "old")]


def test_ranks_are_set_in_bold_and_underlined() -> None:
    table = TABLE._replace(ranks={(0, "ours"): "best", (1, "task"): "second"})
    markdown, latex = to_markdown(table), to_latex(table)
    assert markdown.splitlines()[6:8] == [
        "| pen             | **1.5 ± 0.2** |",
        "| <ins>a\\|b</ins> |      -3.0 ± – |",
    ]
    assert "pen & \\textbf{1.5 $\\pm$ 0.2} \\\\\n\\underline{a\\textbar{}b} & $-$3.0 $\\pm$ -- \\\\" in latex


def test_a_label_stands_above_everything() -> None:
    table = TABLE._replace(label="MADE_UP")
    assert to_markdown(table).splitlines()[:3] == ["## Returns", "", "**MADE_UP**"]
    assert to_latex(table).splitlines()[2:5] == [
        "\\toprule",
        "\\multicolumn{2}{l}{\\bfseries MADE\\_UP} \\\\",
        "\\midrule",
    ]


def test_a_note_is_numbered_once() -> None:
    notes = ["old"]
    assert [note_mark(text, notes) for text in ("new", "", "old", "new")] == [" [2]", "", " [1]", " [2]"]
    assert notes == ["old", "new"]
