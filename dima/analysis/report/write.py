"""Writing the report: a folder with all that its pages show, which replaces the old one when complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dima.analysis.figures.write import write_figures
from dima.analysis.paths import report_path, return_tables, table_names
from dima.analysis.records.load import synthetic_label
from dima.analysis.report.cell_files import FILM, CellFiles, read_cell
from dima.analysis.report.cell_page import make_cell_page
from dima.analysis.report.index_page import IndexPage, ResultTable, draw_suites
from dima.analysis.report.pages import Pages
from dima.analysis.results import GridResults
from dima.analysis.tables.write import TABLES, write_tables
from dima.config.grid import Grid

FILES = "files"
"""The report's folder with copies of the tables and figures, so that the report can be sent or moved."""


def write_report(results: GridResults, folder: Path) -> list[Path]:
    """Write the report to `<folder>/<grid>/report`, replacing an old one; returns its first page.

    Equal records give equal bytes. Only records in files have films.

    Raises:
        UserError: a record cannot be trusted (see `load_cells`), or the paper's numbers are missing.
    """
    grid, hashes = results.grid, results.config_hashes
    label = synthetic_label(results.cells)
    cells = [read_cell(grid, record, hashes.get(record.key)) for record in results.cells]
    report = report_path(grid, folder)
    report.parent.mkdir(parents=True, exist_ok=True)
    aside = report.with_name(f".{os.getpid()}.{report.name}")
    try:
        files = _write_files(results, aside / FILES)
        returns = return_tables(grid)
        tables = [ResultTable(name, TABLES[name].title, results.rows(name)) for name in returns]
        others = {name: TABLES[name].fill(results) for name in table_names(grid) if name not in returns}
        page = IndexPage(grid, tables, others, draw_suites(grid, results.ends), cells, files)
        pages = Pages(grid, label)
        (aside / "index.html").write_text(pages.index(page), encoding="utf-8")
        for cell in cells:
            _write_cell(pages, grid, cell, cells, aside)
        _replace_folder(report, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return [report / "index.html"]


def _write_files(results: GridResults, folder: Path) -> list[str]:
    """Tables and figures, all in one folder; returns their paths in the report."""
    folder.mkdir(parents=True)
    with TemporaryDirectory() as made:
        paths = write_tables(results, Path(made)) + write_figures(results, Path(made))
        return [f"{FILES}/{Path(shutil.copyfile(path, folder / path.name)).name}" for path in paths]


def _write_cell(pages: Pages, grid: Grid, cell: CellFiles, cells: Sequence[CellFiles], report: Path) -> None:
    page = make_cell_page(cell, grid.task(cell.key.task))
    path = report / cell.page
    path.parent.mkdir(parents=True, exist_ok=True)
    others = [other for other in cells if other.key[:2] == cell.key[:2]]
    path.write_text(pages.cell(page, others), encoding="utf-8")
    if page.film is not None:
        path.with_name(f"{path.stem}-{FILM}").write_bytes(page.film)


def _replace_folder(folder: Path, new: Path) -> None:
    """Put `new` in the place of `folder`; a reader finds one of them or, for an instant, neither."""
    old = folder.with_name(f"{new.name}.old")
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
