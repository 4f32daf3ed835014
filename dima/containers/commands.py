"""`dima build-image`."""

from __future__ import annotations

import argparse

from dima.options import Commands, add_plain_command


def add_build_image(commands: Commands) -> None:
    """Register the command."""
    command = add_plain_command(commands, "build-image", "build a container image for cells", _build)
    command.add_argument("name", metavar="NAME", help="build containers/NAME.def")
    command.set_defaults(interrupted="no image was written")


def _build(options: argparse.Namespace) -> None:
    from dima.containers.build import build_image

    print(build_image(options.name))
