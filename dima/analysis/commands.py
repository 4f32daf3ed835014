"""`dima tables`, `figures` and `report`, from saved results; `dima studies`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dima.analysis.paths import PARTS, STUDIES
from dima.analysis.records.files import FileRecords
from dima.analysis.records.named import records_named
from dima.config.grid import CellKey, Grid, load_grid
from dima.options import Commands, add_grid_command, add_results, add_source

if TYPE_CHECKING:
    from dima.analysis.results import GridResults


def add_analysis_commands(commands: Commands) -> None:
    """Register the commands."""
    tables = add_grid_command(commands, "tables", "write the grid's tables from saved results", _tables)
    figures = add_grid_command(commands, "figures", "write the grid's figures from saved results", _figures)
    report = add_grid_command(commands, "report", "write the grid's HTML report from saved results", _report)
    for command in (tables, figures, report):
        add_source(command)
    for command in (tables, figures):
        command.add_argument("--of", choices=PARTS, help="write only this group (default: all)")
    studies = add_grid_command(commands, "studies", "write tables and figures of finished studies", _studies)
    studies.add_argument("--task", help="write only this task (default: all)")
    studies.add_argument("--study", choices=STUDIES, help="write only this study (default: all)")
    add_results(studies, "--from")


def _tables(options: argparse.Namespace) -> None:
    from dima.analysis.tables.write import write_tables

    _write(options, partial(write_tables, of=options.of))


def _figures(options: argparse.Namespace) -> None:
    from dima.analysis.figures.write import write_figures

    _write(options, partial(write_figures, of=options.of))


def _report(options: argparse.Namespace) -> None:
    from dima.analysis.report.write import write_report

    _write(options, write_report)


def _write(options: argparse.Namespace, write: Callable[[GridResults, Path], list[Path]]) -> None:
    """Write the tables, figures or report of a grid."""
    from dima.analysis.results import GridResults

    grid = load_grid(options.grid)
    records = records_named(options.sources, grid)
    own = options.sources[0] if options.sources and isinstance(records, FileRecords) else "results"
    for path in write(GridResults(grid, records, _digests(grid)), options.results or Path(own)):
        print(path)


def _digests(grid: Grid) -> dict[CellKey, str]:
    """The digest of every cell's configuration."""
    methods = {name for name in {key.method for key in grid.cells} if grid.has_method(name)}
    return {key: grid.resolve(key).digest() for key in grid.cells if key.method in methods}


def _studies(options: argparse.Namespace) -> None:
    from dima.analysis.figures.write_studies import write_studies

    tasks, studies = ([name] if name else [] for name in (options.task, options.study))
    for path in write_studies(load_grid(options.grid), options.results, tasks, studies):
        print(path)
