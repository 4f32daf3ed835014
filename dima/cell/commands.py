"""`dima train`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from dima.cell.process import cell_of, environments_errors, named_cell, named_key, prepared_device
from dima.cell.sibling_seeds import SEEDS_BESIDE, trained_beside
from dima.config.grid import load_grid
from dima.errors import STOPPED
from dima.options import Commands, add_cell_command, add_results, seed
from dima.record.cell_state import is_finished
from dima.record.mongo.database import database_address

FINISHED_SINCE = "DIMA_FINISHED_SINCE"
"""Environment variable that the Snakefile sets: a run that finished since then (Unix seconds) is what it asks
for, also without its summary. 0 unless cells are forced: Snakemake removes the summary of what finished while
nobody watched. See `dima.record.cell_state`."""


def add_train(commands: Commands) -> None:
    """Register the command."""
    command = add_cell_command(commands, "train", "train a cell (resumes if interrupted)", _train)
    add_results(command, "--results")
    interval = "write a checkpoint at this interval (0: every epoch; default: %(default)s)"
    command.add_argument("--checkpoint-seconds", type=float, default=300.0, metavar="SECONDS", help=interval)
    command.add_argument("--wait", action="store_true", help="wait if the cell is already running")
    command.add_argument("--from-scratch", action="store_true", help="start a new attempt; keep the old log")


def _train(options: argparse.Namespace) -> None:
    config, folder = named_cell(options)
    database_address()  # refuses before anything is written
    device = prepared_device(options, config)
    if config.engine == "checkout":
        options.interrupted = "the same command begins again"

    from dima.cell.run import Execution, run_cell
    from dima.cell.stop_signal import StopSignal

    stop = StopSignal()
    if config.engine != "checkout":  # its program has no checkpoints: it is interrupted
        stop.listen()
    finished_since = float(os.environ.get(FINISHED_SINCE, "inf"))
    execution = Execution(
        device, options.checkpoint_seconds, options.from_scratch, options.wait, finished_since, stop
    )
    with environments_errors(), trained_beside(_unfinished_beside(options, finished_since), STOPPED):
        run_cell(config, folder, execution)


def _unfinished_beside(options: argparse.Namespace, finished_since: float) -> dict[int, Path]:
    """The folders of the cells that this job is to train beside the one of the options, by seed."""
    others = [
        seed(text)
        for text in os.environ.get(SEEDS_BESIDE, "").split(",")
        if text and seed(text) != options.seed
    ]
    grid = load_grid(options.grid)
    cells = {
        other: cell_of(grid, named_key(options)._replace(seed=other), options.results) for other in others
    }
    return {
        other: folder
        for other, (config, folder) in cells.items()
        if not is_finished(folder, config, finished_since)
    }
