"""`dima render`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dima.cell.process import environments_errors
from dima.options import Commands, add_plain_command, count, seed, size


def add_render(commands: Commands) -> None:
    """Register the command."""
    command = add_plain_command(commands, "render", "film a policy on a task as MP4", _render)
    command.add_argument("task", metavar="TASK", help="film this task")
    policy = "use this policy (FOLDER: the newest checkpoint of a cell, deterministic; default: %(default)s)"
    command.add_argument("--policy", default="random", metavar="{random,scripted,FOLDER}", help=policy)
    command.add_argument("--steps", type=count, help="film this many steps (default: one episode)")
    command.add_argument(
        "--seed", type=seed, default=0, help="seed the environment and random actions (default: %(default)s)"
    )
    preset = "use this preset (default: the trained policy's, else the first in `dima tasks`)"
    command.add_argument("--preset", help=preset)
    command.add_argument(
        "--output", type=Path, metavar="FILE.mp4", help="write this file (default: TASK.mp4)"
    )
    command.add_argument("-y", "--overwrite", action="store_true", help="replace an existing file")
    pixels = "set the size in pixels (default: 480x360)"
    command.add_argument("--size", type=size, default=(480, 360), metavar="WIDTHxHEIGHT", help=pixels)
    command.set_defaults(interrupted="no film was written")


def _render(options: argparse.Namespace) -> None:
    from dima.render.film import Order, render

    output = options.output or Path(f"{options.task}.mp4")
    place = (options.size, output, options.overwrite)
    with environments_errors():
        print(
            render(Order(options.task, options.policy, options.preset, options.seed, options.steps, *place))
        )
