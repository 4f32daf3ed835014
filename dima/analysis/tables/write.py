"""The tables of a grid: Markdown and LaTeX to read, CSV with everything a number rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dima.analysis.paths import Part, return_tables, table_paths
from dima.analysis.records.files import Records
from dima.analysis.records.load import synthetic_label
from dima.analysis.returns.rows import Row, build_rows, final_rows
from dima.analysis.returns.sample_efficiency import measure_efficiency
from dima.analysis.returns.suite_summary import summarize_suites
from dima.analysis.studies.prediction import PredictionRow, prediction_rows
from dima.analysis.tables.csv_text import to_csv
from dima.analysis.tables.markup import TextTable, to_latex, to_markdown
from dima.analysis.tables.prediction import PREDICTION_COLUMNS, prediction_table
from dima.analysis.tables.returns import RETURN_COLUMNS, return_table
from dima.analysis.tables.sample_efficiency import EFFICIENCY_COLUMNS, efficiency_table
from dima.analysis.tables.suite_summary import SUITE_COLUMNS, suite_table
from dima.config.grid import CellKey, Grid
from dima.record.files import write_atomically


def write_tables(
    grid: Grid,
    results_dir: Path,
    config_hashes: Mapping[CellKey, str] | None = None,
    records: Records | None = None,
    of: Part | None = None,
) -> list[Path]:
    """Write the tables of the grid; returns `table_paths`.

    Args: grid: the grid whose cells are tabulated. results_dir: the folder that receives `<grid>/tables`.
        config_hashes: the current configuration's hash by cell; a record with another one is shown as stale,
        not averaged. records: of the cells; by default those under `<results_dir>/<grid>/cells`. of: which
        part of the tables; by default all.

    Raises:
        UserError: a record cannot be trusted (see `load_cells`), or the paper's numbers are not there.
    """
    source = records or results_dir
    names = return_tables(grid) if of != "world-models" else []
    experiments = {name: build_rows(grid, name, source, config_hashes) for name in names}
    predictions = prediction_rows(grid, source, config_hashes) if of != "returns" else []
    # over all tables: synthetic records are refused also where they stand in one and real ones in another
    synthetic_label(
        record for rows in (*experiments.values(), predictions) for row in rows for record in row.records
    )
    tables = all_tables(grid, experiments, predictions)
    texts: dict[str, str] = {}
    for name, (lines, table) in tables.items():
        texts |= {f"{name}.csv": lines, f"{name}.md": to_markdown(table), f"{name}.tex": to_latex(table)}
    paths = table_paths(grid, results_dir, of)
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, texts[path.name])
    return paths


def all_tables(
    grid: Grid, experiments: Mapping[str, Sequence[Row]], predictions: Sequence[PredictionRow]
) -> dict[str, tuple[str, TextTable]]:
    """Every table that has rows by name, for machines and for readers, from the rows of the tables of returns
    and of prediction errors.
    """
    tables = {
        name: (to_csv(rows, RETURN_COLUMNS), return_table(grid, name, rows))
        for name, rows in experiments.items()
    }
    if experiments:
        rows = final_rows(grid, experiments)
        summaries, efficiencies = summarize_suites(grid, rows), measure_efficiency(rows)
        tables["suite_summary"] = (to_csv(summaries, SUITE_COLUMNS), suite_table(grid, rows, summaries))
        tables["sample_efficiency"] = (
            to_csv(efficiencies, EFFICIENCY_COLUMNS),
            efficiency_table(grid, efficiencies),
        )
    if predictions:
        tables["prediction_error"] = (
            to_csv(predictions, PREDICTION_COLUMNS),
            prediction_table(grid, predictions),
        )
    return tables
