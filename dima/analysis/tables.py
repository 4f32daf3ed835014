"""Tables of final returns beside the paper's: Markdown and LaTeX to read, CSV with everything a number rests on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dima.analysis.csv_table import to_csv
from dima.analysis.markup import TextTable, to_latex, to_markdown
from dima.analysis.paths import return_tables, table_paths
from dima.analysis.records import Records
from dima.analysis.reference import RETURN_TABLES
from dima.analysis.replace_file import replace_file
from dima.analysis.rows import Row, build_rows, label_of
from dima.errors import UserError
from dima.grid import CellKey, Grid

TITLES = {"final_returns": "Final returns", "ablation_returns": "Ablation returns"}
_EXPLANATION = """\
ours: mean ± standard deviation (ddof 1) over completed seeds of the evaluation return after that many env steps;
n: completed of planned seeds; IQM: interquartile mean with 95 % stratified bootstrap interval, from three seeds on;
paper: mean ± standard deviation (number of runs); P(dima >): probability that a run of dima beats a run of the row."""
_HEADING = ("task", "method", "n", "env steps", "ours", "IQM [95 %]", "paper", "difference", "P(dima >)", "verdict")
_NUMERIC = frozenset(_HEADING) - {"task", "method", "verdict"}
_NONE = "–"


def write_tables(
    grid: Grid, results_dir: Path, config_hashes: Mapping[CellKey, str] | None = None, records: Records | None = None
) -> list[Path]:
    """Write the tables of the grid; returns `table_paths`.

    Args:
        grid: the grid whose cells are tabulated.
        results_dir: the folder that receives `<grid>/tables`.
        config_hashes: the current configuration's hash by cell; a record with another one is shown as stale, not averaged.
        records: of the cells; by default those under `<results_dir>/<grid>/cells`.

    Raises:
        UserError: a record cannot be trusted (see `load_cells`), or the paper's numbers are not there.
    """
    texts: dict[str, str] = {}
    tables = {name: build_rows(grid, name, records or results_dir, config_hashes) for name in return_tables(grid)}
    label_of(row for rows in tables.values() for row in rows)
    for name, rows in tables.items():
        table = _text_table(grid, name, rows)
        texts |= {f"{name}.csv": to_csv(rows), f"{name}.md": to_markdown(table), f"{name}.tex": to_latex(table)}
    paths = table_paths(grid, results_dir)
    return [replace_file(path, partial(Path.write_bytes, data=texts[path.name].encode())) for path in paths]


def final_table_text(grid: Grid, results_dir: Path, config_hashes: Mapping[CellKey, str] | None = None) -> str:
    """The Markdown of the grid's first table of returns, as `write_tables` writes it, for the terminal.

    Raises:
        UserError: as `write_tables`, and if the grid has no table of returns.
    """
    names = return_tables(grid)
    if not names:
        raise UserError(f"Grid {grid.name} has no table of returns: none of its experiments is called {' or '.join(RETURN_TABLES)}.")
    return to_markdown(_text_table(grid, names[0], build_rows(grid, names[0], results_dir, config_hashes)))


def _text_table(grid: Grid, name: str, rows: list[Row]) -> TextTable:
    notes = list(dict.fromkeys(row.verdict.reason for row in rows if row.verdict.reason))
    texts = [_texts(row, notes) for row in rows]
    return TextTable(f"{TITLES[name]}, grid {grid.name}", _EXPLANATION, _HEADING, _NUMERIC, texts, notes, label_of(rows))


def _texts(row: Row, notes: list[str]) -> list[str]:
    sample, statistics, paper, verdict = row.sample, row.statistics, row.paper, row.verdict
    ours, iqm = "not run" if verdict.word == "not run" else _NONE, _NONE
    if statistics:
        ours = _plus_minus(statistics.mean, statistics.std_sample)
        interval = statistics.iqm_interval
        iqm = f"{statistics.iqm:.1f}" + (f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else "")
    return [
        sample.task,
        sample.method,
        f"{len(sample.returns)}/{sample.planned}",
        f"{sample.env_steps:,}",
        ours,
        iqm,
        (paper and paper.text) or _NONE,
        _NONE if verdict.difference is None else f"{verdict.difference:+.1f}",
        _NONE if row.probability_dima_better is None else f"{row.probability_dima_better:.2f}",
        f"{verdict.word} [{notes.index(verdict.reason) + 1}]" if verdict.reason else verdict.word,
    ]


def _plus_minus(mean: float, std: float | None) -> str:
    return f"{mean:.1f} ± {_NONE if std is None else f'{std:.1f}'}"
