"""Findings of the doctor, and commands with a time limit."""

from __future__ import annotations

import subprocess
from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One line: `ok`; `note`, which many do not need; `fix`, without which cells do not run."""

    mark: Literal["ok", "note", "fix"]
    subject: str
    text: str


class Answer(NamedTuple):
    """A command's output; `fault` is None for status 0, otherwise its last line or the reason."""

    output: str
    fault: str | None


def ask(*command: str, seconds: float) -> Answer:
    """Run a fixed command, at most for `seconds`."""
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
