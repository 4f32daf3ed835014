"""`dima tables`, `figures` and `report`, from saved results; `dima studies`."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dima.analysis.paths import PARTS, STUDIES
from dima.analysis.records.files import FileRecords
from dima.analysis.records.named import records_named
from dima.config.grid import CellKey, Grid, load_grid
from dima.errors import UserError
from dima.options import Commands, add_grid_command, add_results, add_source

if TYPE_CHECKING:
    from dima.analysis.results import GridResults


def add_analysis_commands(commands: Commands) -> None:
    """Register the commands."""
    for name, what in (("tables", "tables"), ("figures", "figures"), ("report", "HTML report")):
        text = f"write the grid's {what} from saved results"
        command = add_grid_command(commands, name, text, partial(_write, name))
        add_source(command)
        if name != "report":
            command.add_argument("--of", choices=PARTS, help="write only this group (default: all)")
    studies = add_grid_command(commands, "studies", "write tables and figures of finished studies", _studies)
    studies.add_argument("--task", help="write only this task (default: all)")
    studies.add_argument("--study", choices=STUDIES, help="write only this study (default: all)")
    add_results(studies, "--from")


def _write(name: str, options: argparse.Namespace) -> None:
    """Write the tables, figures or report of a grid."""
    from dima.analysis.results import GridResults

    grid = load_grid(options.grid)
    records = records_named(options.sources, grid)
    if isinstance(records, FileRecords) and options.sources and not Path(options.sources[0]).exists():
        raise UserError(f"There is no folder {options.sources[0]}.")
    own = options.sources[0] if options.sources and isinstance(records, FileRecords) else "results"
    results, folder = GridResults(grid, records, _digests(grid)), options.results or Path(own)
    for path in _written(name, results, folder, options):
        print(path)


def _written(name: str, results: GridResults, folder: Path, options: argparse.Namespace) -> list[Path]:
    """Tables do without matplotlib, so each is imported when it is written."""
    if name == "tables":
        from dima.analysis.tables.write import write_tables

        return write_tables(results, folder, options.of)
    if name == "figures":
        from dima.analysis.figures.write import write_figures

        return write_figures(results, folder, options.of)
    from dima.analysis.report.write import write_report

    return write_report(results, folder)


def _digests(grid: Grid) -> dict[CellKey, str]:
    """The digest of every cell's configuration."""
    methods = {name for name in {key.method for key in grid.cells} if grid.has_method(name)}
    return {key: grid.resolve(key).digest() for key in grid.cells if key.method in methods}


def _studies(options: argparse.Namespace) -> None:
    from dima.analysis.figures.write_studies import write_studies

    tasks, studies = ([name] if name else [] for name in (options.task, options.study))
    for path in write_studies(load_grid(options.grid), options.results, tasks, studies):
        print(path)
