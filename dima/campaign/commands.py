"""`dima run`, `status`, `plan`, `pack` and `unpack`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dima.analysis.records.named import places_named, records_named, results_named
from dima.config.grid import CellKey, load_grid
from dima.options import (
    RESULTS,
    Commands,
    add_device,
    add_grid_command,
    add_place,
    add_plain_command,
    add_results,
    count,
    seed,
)
from dima.words import byte_size, counted


def add_run(commands: Commands) -> None:
    """Register `run`."""
    command = add_plain_command(commands, "run", "train one cell without a grid file", _run)
    command.add_argument("task", metavar="TASK", help="train on this task")
    command.add_argument("method", metavar="METHOD", help="train this method")
    command.add_argument("--seed", type=seed, default=1, help="use this seed (default: %(default)s)")
    steps = "train for this many environment steps (default: the task's)"
    command.add_argument("--steps", type=count, help=steps)
    changes = "change parameters, such as denoiser.batch_size=128 or task.preset=paper"
    command.add_argument("--set", dest="changes", nargs="+", default=[], metavar="KEY=VALUE", help=changes)
    command.add_argument("--like", metavar="GRID", help="use the overrides of this grid")
    name = "write workflow/config/NAME.yaml and results/NAME (default: run-TASK-METHOD)"
    command.add_argument("--name", help=name)
    add_device(command)
    add_results(command, "--results")


def add_campaign_commands(commands: Commands) -> None:
    """Register `status` and `plan`."""
    status = add_grid_command(commands, "status", "show the progress of every cell", _status)
    status.add_argument("--watch", action="store_true", help="refresh until interrupted")
    add_place(status)
    status.set_defaults(interrupted="the cells go on")
    plan = add_grid_command(commands, "plan", "show what would run, why, and its cost", _plan)
    add_place(plan, database=False)
    plan.set_defaults(interrupted="nothing was written")


def add_archive_commands(commands: Commands) -> None:
    """Register `pack` and `unpack`."""
    packing = add_grid_command(commands, "pack", "pack the grid's records into archives", _pack)
    add_place(packing, database=False)
    packing.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="write archives here, or one *.tar.xz"
    )
    packing.set_defaults(interrupted="the same command packs again")
    unpacking = add_grid_command(commands, "unpack", "restore packed records as finished cells", _unpack)
    sources = "read these archives or folders of archives"
    unpacking.add_argument(
        "--from", dest="sources", nargs="+", type=Path, required=True, metavar="PLACE", help=sources
    )
    into = "restore into this results folder (default: %(default)s)"
    unpacking.add_argument("--to", type=Path, default=RESULTS, metavar="FOLDER", help=into)
    unpacking.set_defaults(interrupted="the same command goes on")


def _run(options: argparse.Namespace) -> int:
    from dima.campaign.single_run import train, write_grid

    key = CellKey(options.task, options.method, options.seed)
    name = options.name or f"run-{key.task}-{key.method}"
    grid = write_grid(key, name, options.like, options.steps, options.changes)
    given = {"device": options.device, "threads": str(options.threads), "results": str(options.results)}
    return train(grid, key, options.results, given)


def _status(options: argparse.Namespace) -> None:
    from dima.campaign.cell_status import show

    grid = load_grid(options.grid)
    show(grid, records_named(options.sources, grid), watch=options.watch)


def _plan(options: argparse.Namespace) -> None:
    from dima.campaign.plan import make_plan
    from dima.campaign.plan_text import show

    grid = load_grid(options.grid)
    show(make_plan(grid, results_named(options.sources, grid), records_named(options.sources, grid)))


def _pack(options: argparse.Namespace) -> None:
    from dima.campaign.pack import pack, unfinished_cells

    grid = load_grid(options.grid)
    records = records_named(options.sources, grid)
    folders = [place for place in places_named(options.sources) if place.is_dir()]
    unfinished = unfinished_cells(grid, records, folders)
    for key in unfinished:
        print(f"dima: {key.folder} is not finished and was left out.", file=sys.stderr)
    for archive in pack(grid, records, options.to, unfinished):
        each = byte_size(archive.size / archive.cells)
        print(f"{archive.path}: {counted(archive.cells, 'cell')}, {each} each")


def _unpack(options: argparse.Namespace) -> None:
    from dima.campaign.unpack import unpack
    from dima.record.archive import archives_in

    grid = load_grid(options.grid).name
    done = unpack(archives_in(options.sources, grid), grid, options.to)
    restored = counted(done.put_back, "cell")
    print(f"{options.to / grid}: {restored} restored, {done.there} already there")
