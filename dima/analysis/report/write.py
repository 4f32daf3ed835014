"""Writing the report: one folder that holds all that its pages show, put in the place of the old one when it
is whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dima.analysis.figures.write import write_figures
from dima.analysis.paths import report_path, return_experiments, return_tables
from dima.analysis.records.files import FileRecords, Records
from dima.analysis.records.load import load_cells, synthetic_label
from dima.analysis.report.cell_files import FILM, CellFiles, read_cell
from dima.analysis.report.cell_page import make_cell_page
from dima.analysis.report.index_page import IndexPage, ResultTable, draw_suites
from dima.analysis.report.pages import Pages
from dima.analysis.returns.rows import build_rows, final_rows
from dima.analysis.studies.prediction import prediction_rows
from dima.analysis.tables.returns import TITLES
from dima.analysis.tables.write import all_tables, write_tables
from dima.config.grid import CellKey, Grid

FILES = "files"
"""The report's folder with the tables and figures: it has copies, so that the report may be sent or moved."""


def write_report(
    grid: Grid,
    results_dir: Path,
    config_hashes: Mapping[CellKey, str] | None = None,
    records: Records | None = None,
) -> list[Path]:
    """Write the report of the grid; returns its first page.

    Equal records give equal bytes. Films lie beside the records in files; a database and archives hold none,
    and a report from them shows none.

    Args: grid: the grid whose cells are shown. results_dir: the folder that receives `<grid>/report`; a
        report that is there is replaced as a whole. config_hashes: the current configuration's hash by cell;
        a record with another one is shown as stale, not averaged. records: of the cells; by default those
        under `<results_dir>/<grid>/cells`.

    Raises:
        UserError: a record cannot be trusted (see `load_cells`), or the paper's numbers are not there.
    """
    hashes = config_hashes or {}
    records = records or FileRecords(results_dir / grid.name / "cells")
    found = load_cells(grid, grid.cells, records, hashes)
    label = synthetic_label(found)
    cells = [read_cell(grid, record, hashes.get(record.key)) for record in found]
    folder = report_path(grid, results_dir)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{os.getpid()}.{folder.name}")
    try:
        files = _write_files(grid, aside / FILES, hashes, records)
        rows = {name: build_rows(grid, name, records, hashes) for name in return_experiments(grid)}
        returns = {name: rows[name] for name in return_tables(grid)}
        tables = [ResultTable(name, TITLES[name], own) for name, own in returns.items()]
        summaries = {
            name: table
            for name, (_, table) in all_tables(grid, returns, prediction_rows(grid, records, hashes)).items()
            if name not in returns
        }
        page = IndexPage(grid, tables, summaries, draw_suites(grid, final_rows(grid, rows)), cells, files)
        pages = Pages(grid, label)
        (aside / "index.html").write_text(pages.index(page), encoding="utf-8")
        for cell in cells:
            _write_cell(pages, grid, cell, cells, aside)
        _replace_folder(folder, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return [folder / "index.html"]


def _write_files(grid: Grid, folder: Path, hashes: Mapping[CellKey, str], records: Records) -> list[str]:
    """Tables and figures, all in one folder; returns their paths in the report."""
    folder.mkdir(parents=True)
    with TemporaryDirectory() as made:
        paths = write_tables(grid, Path(made), hashes, records) + write_figures(
            grid, Path(made), hashes, records
        )
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
    """Put `new` in the place of `folder`.

    A reader meets the one or the other, for an instant neither, never half of one.
    """
    old = folder.with_name(f"{new.name}.old")
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
