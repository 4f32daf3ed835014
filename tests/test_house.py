"""Formatting, types and the direction of imports, by the tools themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name(name), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check"),
        ("ruff", "format", "--check"),
        ("snakefmt", "--check", "Snakefile", "workflow"),
        ("lint-imports",),
    ],
    ids=" ".join,
)
def test_the_house_is_in_order(command: tuple[str, ...]) -> None:
    result = tool(*command)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_types() -> None:
    start = tool("pyright", "--version")
    if start.returncode != 0:
        pytest.skip(f"pyright cannot start: {(start.stderr or start.stdout).strip().splitlines()[-1]}")
    result = tool("pyright", "--pythonpath", sys.executable)
    assert result.returncode == 0, result.stdout + result.stderr
