"""What the doctor finds, and commands that it does not wait for too long."""

from __future__ import annotations

import subprocess
from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One line: `ok`; `note`, which many can do without; `fix`, without which cells do not run."""

    mark: Literal["ok", "note", "fix"]
    subject: str
    text: str


class Answer(NamedTuple):
    """What a command said; `fault` is None where it ended with status 0, otherwise its last line or why there
    is none.
    """

    output: str
    fault: str | None


def ask(*command: str, seconds: float) -> Answer:
    """Run a command of which all parts are known, and wait no longer than `seconds`."""
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return Answer("", f"no answer in {seconds:.0f} s")
    except OSError as error:
        return Answer("", error.strerror or str(error))
    if result.returncode == 0:
        return Answer(result.stdout.strip(), None)
    lines = (result.stderr or result.stdout).strip().splitlines()
    return Answer(result.stdout.strip(), lines[-1] if lines else f"status {result.returncode}")
