"""Runs a command, and kills it and all its descendants when the process that started this ends.

`guard.py COMMAND...`. Standard input is a pipe whose other end the starter holds and never writes to: the
kernel closes it however the starter ends. Orphans of the command (daemons, workers whose parent was killed)
become children of this process and are killed too. The exit status is the command's, or 128 + n if signal n
ended it. Only the standard library is used; it needs Linux.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SECONDS_BETWEEN_LOOKS = 0.1


def main(command: list[str]) -> int:
    """Run `command` to its end, or to the end of standard input."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(
            number, _pass
        )  # the starter decides; a handler, not SIG_IGN, which the command would inherit
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    status = 1
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)
        while (code := process.poll()) is None:
            if select.select([0], [], [], SECONDS_BETWEEN_LOOKS)[
                0
            ]:  # nothing is ever written: this is the end of the pipe
                break
        else:
            status = code if code >= 0 else 128 - code
    finally:
        _kill_children()
    return status


def _pass(_number: int, _frame: FrameType | None) -> None:
    pass


def _die_with_parent() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def _kill_children() -> None:
    """Kill and reap all children until none is left; theirs become children of this process."""
    while True:
        for child in _children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(SECONDS_BETWEEN_LOOKS / 10)


def _children() -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            parent = path.read_bytes().rpartition(b")")[2].split()[1]
            if int(parent) == os.getpid():
                found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
