"""`dima tasks` and `dima methods`: what a cell can be made of."""

from __future__ import annotations

import argparse

from dima.options import Commands, add_plain_command


def add_lists(commands: Commands) -> None:
    """Register the commands."""
    tasks = add_plain_command(commands, "tasks", "list the tasks", _tasks)
    methods = add_plain_command(commands, "methods", "list the methods in workflow/config/methods", _methods)
    for command in (tasks, methods):
        command.add_argument("--markdown", action="store_true", help="print the README's table")


def _tasks(options: argparse.Namespace) -> None:
    from envs.task_table import markdown, plain_text

    print(markdown() if options.markdown else plain_text())


def _methods(options: argparse.Namespace) -> None:
    from dima.config.method_table import markdown, plain_text

    print(markdown() if options.markdown else plain_text())
