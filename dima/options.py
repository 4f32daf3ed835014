"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

DATABASE = "mongodb"
"""The value of `--from` for the database of the environment."""
RESULTS = Path("results")
"""The folder of all grids."""
Commands = argparse._SubParsersAction


Function = Callable[[argparse.Namespace], object]


def add_plain_command(
    commands: Commands, name: str, text: str, function: Function, more: str = ""
) -> argparse.ArgumentParser:
    """A command that calls `function` with its options; its description is `text`, its help, and `more`."""
    description = f"{text[0].upper()}{text[1:]}. {more}".strip()
    command = commands.add_parser(name, help=text, description=description)
    command.set_defaults(command=function)
    return command


def add_grid_command(commands: Commands, name: str, text: str, function: Function) -> argparse.ArgumentParser:
    """A command about one grid."""
    command = add_plain_command(commands, name, text, function)
    command.add_argument("--grid", required=True, help="use the grid workflow/config/GRID.yaml")
    return command


def add_cell_command(commands: Commands, name: str, text: str, function: Function) -> argparse.ArgumentParser:
    """A command that computes with one cell."""
    command = add_grid_command(commands, name, text, function)
    command.add_argument("--task", required=True, help="use this task of the grid")
    command.add_argument("--method", required=True, help="use this method of the grid")
    command.add_argument("--seed", required=True, type=seed, help="use this seed of the grid")
    add_device(command)
    share = "use this percentage of a shared GPU (default: %(default)s)"
    command.add_argument("--gpu-percent", type=seed, default=100, metavar="PERCENT", help=share)
    gpus = "share these GPUs with other cells"
    command.add_argument("--gpus", nargs="+", default=[], metavar="UUID", help=gpus)
    return command


def add_device(command: argparse.ArgumentParser) -> None:
    """Where a cell computes."""
    device = "compute on this device (auto: GPU if present)"
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help=device)
    threads = "use this many CPU threads (default: %(default)s)"
    command.add_argument("--threads", type=int, default=1, help=threads)


def add_results(command: argparse.ArgumentParser, option: str) -> None:
    """The folder of all grids, as the option of that name."""
    text = "use this results folder (default: %(default)s)"
    command.add_argument(option, dest="results", type=Path, default=RESULTS, help=text)


def add_source(command: argparse.ArgumentParser) -> None:
    """The source of records, and the folder for what is made of them."""
    add_place(command)
    text = "write to this folder (default: --from if one folder, else results)"
    command.add_argument("--to", dest="results", type=Path, metavar="FOLDER", help=text)


def add_place(command: argparse.ArgumentParser, *, database: bool = True) -> None:
    """The sources of records: any number of folders and archives, or the database."""
    places = f"folders, archives or {DATABASE}" if database else "folders or archives"
    text = f"read records from {places} (default: results)"
    command.add_argument("--from", dest="sources", nargs="+", metavar="PLACE", help=text)


def seed(text: str) -> int:
    """A whole number from 0 up. Raises ArgumentTypeError for anything else."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def count(text: str) -> int:
    """A whole number from 1 up."""
    if seed(text) == 0:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return int(text)


def size(text: str) -> tuple[int, int]:
    """Width and height in pixels, both even and from 16 to 4096."""
    sides = [int(side) if side.isascii() and side.isdigit() else 0 for side in text.split("x")]
    if len(sides) != 2 or not all(16 <= side <= 4096 and side % 2 == 0 for side in sides):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a width and a height such as 480x360, both even and from 16 to 4096"
        )
    return sides[0], sides[1]
