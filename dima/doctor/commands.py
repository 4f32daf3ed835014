"""`dima doctor`."""

from __future__ import annotations

import argparse

from dima.options import Commands, add_plain_command


def add_doctor(commands: Commands) -> None:
    """Register the command."""
    more = "Exit status 1: an essential check failed."
    command = add_plain_command(commands, "doctor", "check this machine and installation", _doctor, more)
    command.add_argument("--image", action="store_true", help="check only what an image contains")


def _doctor(options: argparse.Namespace) -> int:
    from dima.doctor import examine

    return 0 if examine(options.image) else 1
