"""That the methods learn, not only run: cells of the grids for two cores, run in full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("grid", "name", "least"),
    [
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
    processes = []
    for seed in (1, 2):
        options = ["--task", "push-mass", "--method", name, "--seed", str(seed), "--results", str(tmp_path)]
        processes.append(subprocess.Popen([sys.executable, "-m", "dima", "train", "--grid", grid, *options], cwd=ROOT))
    assert [process.wait() for process in processes] == [0, 0]
    assert_learned(tmp_path / grid, name, least)


def assert_learned(results: Path, method: str, least: float) -> None:
    """Both seeds end above what is asked of them."""
    summaries = [results / f"cells/push-mass/{method}/seed-{seed}/summary.json" for seed in (1, 2)]
    finals = [json.loads(summary.read_text())["final"] for summary in summaries]
    assert min(final["mean"] for final in finals) >= least
    assert {final["episodes"] for final in finals} == {10}
