"""The tables of a grid: Markdown and LaTeX to read, CSV for machines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dima.analysis.paths import Part, return_tables, table_names, table_paths
from dima.analysis.records.load import synthetic_label
from dima.analysis.results import GridResults
from dima.analysis.tables.form import TableForm
from dima.analysis.tables.markup import to_latex, to_markdown
from dima.analysis.tables.prediction_error import PREDICTION_ERROR
from dima.analysis.tables.returns import ABLATION_RETURNS, FINAL_RETURNS
from dima.analysis.tables.sample_efficiency import SAMPLE_EFFICIENCY
from dima.analysis.tables.suite_summary import SUITE_SUMMARY
from dima.record.files import write_atomically

TABLES: Mapping[str, TableForm] = {
    "final_returns": FINAL_RETURNS,
    "ablation_returns": ABLATION_RETURNS,
    "suite_summary": SUITE_SUMMARY,
    "sample_efficiency": SAMPLE_EFFICIENCY,
    "prediction_error": PREDICTION_ERROR,
}
"""Every table by the name of its files."""


def write_tables(results: GridResults, folder: Path, of: Part | None = None) -> list[Path]:
    """Write the grid's tables, or one part of them, to `<folder>/<grid>/tables`; returns `table_paths`.

    Raises:
        UserError: a record cannot be trusted (see `load_cells`), or the paper's numbers are missing.
    """
    grid = results.grid
    names = table_names(grid, of)
    returns = [row for name in return_tables(grid) if name in names for row in results.rows(name)]
    predictions = results.predictions if "prediction_error" in names else []
    # synthetic records in one table and real ones in another are refused, too
    synthetic_label(record for row in (*returns, *predictions) for record in row.records)
    texts: dict[str, str] = {}
    for name in names:
        table = TABLES[name].fill(results)
        texts[f"{name}.csv"] = TABLES[name].to_csv(results)
        texts |= {f"{name}.md": to_markdown(table), f"{name}.tex": to_latex(table)}
    paths = table_paths(grid, folder, of)
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, texts[path.name])
    return paths
