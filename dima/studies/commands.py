"""`dima study`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dima.analysis.paths import STUDIES, lead_cell
from dima.cell.process import cell_of, environments_errors, named_cell, named_key, prepared_device
from dima.config import CellConfig
from dima.config.grid import load_grid
from dima.config.studied import FRAMES
from dima.options import Commands, add_cell_command, add_results, count


def add_study(commands: Commands) -> None:
    """Register the command."""
    command = add_cell_command(commands, "study", "evaluate the world model of a trained cell", _study)
    command.add_argument(
        "name", metavar="NAME", choices=(*STUDIES, FRAMES), help="run this study (%(choices)s)"
    )
    segments = "compare this many episode segments (default: %(default)s)"
    command.add_argument("--segments", type=count, default=100, help=segments)
    add_results(command, "--from")
    command.set_defaults(interrupted="no study was written")


def _study(options: argparse.Namespace) -> None:
    config, folder = named_cell(options)
    device = prepared_device(options, config)
    from dima.studies.run import run_study

    lead = _lead(options) if options.name == FRAMES else None
    with environments_errors():
        print(run_study(options.name, config, folder, options.segments, device, lead))


def _lead(options: argparse.Namespace) -> tuple[CellConfig, Path]:
    """The cell whose policy acts in the frames of the cell that the options name."""
    grid = load_grid(options.grid)
    return cell_of(grid, lead_cell(grid, named_key(options)), options.results)
