"""That the methods learn, not only run: cells of the grids for two cores, run in full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dima.grid import CellKey

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("grid", "name", "least"),
    [
        ("quick", "dima", 25),
        ("baselines", "mamba", 25),
        ("baselines", "marie", 15),
        ("baselines-harl", "mappo", 25),
        ("baselines-harl", "happo", 25),
        ("baselines-harl", "hasac", 25),
    ],
)
def test_it_learns_push_mass_on_both_seeds(tmp_path, grid, name, least):
    """Far more than 20 above uniformly random forces, which return -12; standing still returns -2, a tuned controller 44."""
    if grid == "baselines-harl":
        pytest.importorskip("harl")
    cells = [CellKey("push-mass", name, seed) for seed in (1, 2)]
    processes = []
    for task, method, seed in cells:
        options = ["--task", task, "--method", method, "--seed", str(seed), "--results", str(tmp_path)]
        processes.append(subprocess.Popen([sys.executable, "-m", "dima", "train", "--grid", grid, *options], cwd=ROOT))
    assert [process.wait() for process in processes] == [0, 0]
    finals = [json.loads((tmp_path / grid / "cells" / cell.folder / "summary.json").read_text())["final"] for cell in cells]
    assert min(final["mean"] for final in finals) >= least
    assert {final["episodes"] for final in finals} == {10}
