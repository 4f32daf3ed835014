"""`dima sync`."""

from __future__ import annotations

import argparse

from dima.options import Commands, add_plain_command, add_results
from dima.record.mongo.database import required_address


def add_sync(commands: Commands) -> None:
    """Register the command."""
    text = "update MongoDB (DIMA_MONGO_URI) from the recorded files"
    command = add_plain_command(commands, "sync", text, _sync)
    command.add_argument("--grid", default="all", help="update only this grid (default: %(default)s)")
    add_results(command, "--from")


def _sync(options: argparse.Namespace) -> None:
    place = required_address()
    from dima.record.mongo.sync import sync

    for done in sync(place, options.results, None if options.grid == "all" else options.grid):
        print(f"{done.grid}: {done.runs} runs, {done.metric_documents} metric documents")
