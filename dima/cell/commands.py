"""`dima train`."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from dima.cell.process import cell_of, environments_errors, named_cell, named_key, prepared_device
from dima.cell.sibling_seeds import sibling_seeds
from dima.config.grid import load_grid
from dima.options import Commands, add_cell_command, add_results, seed
from dima.record.cell_state import is_finished
from dima.record.mongo.database import database_address

FOR_SIBLINGS = (
    "grid", "task", "method", "device", "threads", "gpu_percent", "results", "checkpoint_seconds",
    "finished_after",
)  # fmt: skip


def add_train(commands: Commands) -> None:
    """Register the command."""
    command = add_cell_command(commands, "train", "train a cell (resumes if interrupted)", _train)
    add_results(command, "--results")
    interval = "write a checkpoint at this interval (0: every epoch; default: %(default)s)"
    command.add_argument("--checkpoint-seconds", type=float, default=300.0, metavar="SECONDS", help=interval)
    command.add_argument("--wait", action="store_true", help="wait if the cell is already running")
    command.add_argument("--from-scratch", action="store_true", help="start a new attempt; keep the old log")
    after = "count a run that finished later as finished"
    command.add_argument("--finished-after", type=float, default=math.inf, metavar="UNIX_SECONDS", help=after)
    siblings = "train these seeds at the same time"
    command.add_argument("--with-seeds", nargs="+", type=seed, default=[], metavar="SEED", help=siblings)


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
    execution = Execution(
        device,
        options.checkpoint_seconds,
        options.from_scratch,
        options.wait,
        options.finished_after,
        stop,
    )
    with environments_errors(), sibling_seeds(_unfinished_siblings(options), _options_of_siblings(options)):
        run_cell(config, folder, execution)


def _unfinished_siblings(options: argparse.Namespace) -> dict[int, Path]:
    """The folders of the cells to train at the same time, by seed."""
    grid, seeds = load_grid(options.grid), set(options.with_seeds) - {options.seed}
    cells = {
        sibling: cell_of(grid, named_key(options)._replace(seed=sibling), options.results)
        for sibling in sorted(seeds)
    }
    return {
        sibling: folder
        for sibling, (config, folder) in cells.items()
        if not is_finished(folder, config, options.finished_after)
    }


def _options_of_siblings(options: argparse.Namespace) -> list[str]:
    """The options of this command that its siblings share."""
    flags = [f"--{name.replace('_', '-')}" for name in ("wait", "from_scratch") if getattr(options, name)]
    values = [f"--{name.replace('_', '-')}={getattr(options, name)}" for name in FOR_SIBLINGS]
    return [*values, *flags, *(["--gpus", *options.gpus] if options.gpus else [])]
