"""`dima`: the command line. `python -m dima` is the same. Each package registers its own commands."""

from __future__ import annotations

import argparse
import difflib
import errno
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

import shtab

from dima import __version__
from dima.analysis.commands import add_analysis_commands
from dima.campaign.commands import add_archive_commands, add_campaign_commands, add_run
from dima.cell.commands import add_train
from dima.config.commands import add_lists
from dima.containers.commands import add_build_image
from dima.doctor.commands import add_doctor
from dima.errors import BAD_INPUT, DISK_FULL, INTERRUPTED, DimaError
from dima.record.mongo.commands import add_sync
from dima.render.commands import add_render
from dima.studies.commands import add_study

TRAINING = ("torch", "sacred", "safetensors", "vector_quantize_pytorch")
"""Packages of the extra `training`, which tables, figures and the report do not need."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    0: done, 2: bad input, 3: diverged, 4: disk full, 5: a simulator or a checkout's program crashed,
    75: locked, 99: stopped at a checkpoint by a signal, 130: interrupted, 1: anything else.
    """
    top = parser()
    options = top.parse_args(arguments)
    if "command" not in options:
        top.print_help()
        return 0
    try:
        return options.command(options) or 0
    except DimaError as error:
        return _say(error, error.status)
    except ModuleNotFoundError as error:
        if error.name not in TRAINING:
            raise
        missing = f"This command needs {error.name}, which is not installed"
        return _say(f"{missing}: pip install -e '.[training]'.", BAD_INPUT)
    except KeyboardInterrupt:
        return _say(f"Interrupted; {options.interrupted}.", INTERRUPTED)
    except OSError as error:
        status = DISK_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else 1
        return _say(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.", status)


class _Parser(argparse.ArgumentParser):
    """Adds the nearest choice to the message about a wrong one."""

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        names = re.findall(r"[\w-]+", wrong[2]) if wrong else []
        near = difflib.get_close_matches(wrong[1], names, n=1) if wrong else []
        super().error(f"{message}; perhaps {near[0]!r}" if near else message)


def _say(message: object, status: int) -> int:
    print(f"dima: {message}", file=sys.stderr)
    return status


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; `options.command` is a command's function.

    `options.interrupted` ends the message after an interrupt.
    """
    description = "Train and evaluate multi-agent methods; write tables, figures and reports of the results."
    top = _Parser(prog="dima", description=description)
    top.set_defaults(interrupted="the same command continues")
    top.add_argument("--version", action="version", version=f"dima {__version__}")
    shtab.add_argument_to(top, help="print a completion script for this shell")
    commands = top.add_subparsers(metavar="command", parser_class=_Parser)
    add_run(commands)
    add_train(commands)
    add_analysis_commands(commands)
    add_campaign_commands(commands)
    add_archive_commands(commands)
    add_sync(commands)
    add_study(commands)
    add_render(commands)
    add_lists(commands)
    add_doctor(commands)
    add_build_image(commands)
    return top
