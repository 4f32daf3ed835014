"""Sibling seeds of one job: real processes at the same time, which end as they would alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dima.record.events import read_events

pytestmark = [pytest.mark.slow, pytest.mark.remembered]
CELLS, QUICK_CELLS = (
    [Path(f"results/tiny/cells/push-mass/{method}/seed-{seed}") for seed in (1, 2)]
    for method in ("dima", "mappo")
)


def command(seed: int, method: str) -> list[str]:
    options = [
        "--grid",
        "tiny",
        "--task",
        "push-mass",
        "--method",
        method,
        "--seed",
        str(seed),
        "--checkpoint-seconds",
        "0",
    ]
    return [sys.executable, "-m", "dima", "train", *options]


def together(seed: int, method: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command(seed, method), "--with-seeds", "1", "2", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def evaluations(cell: Path) -> list[tuple]:
    return [
        (event["grid_step"], event["return"])
        for event in read_events(cell / "events.jsonl")
        if event["kind"] == "evaluation"
    ]


def test_the_first_cell_of_a_job_trains_its_siblings_as_if_each_were_alone(workplace) -> None:
    with together(1, "mappo") as process:
        printed, _ = process.communicate(timeout=100)
    assert process.returncode == 0, printed
    found = [evaluations(cell) for cell in QUICK_CELLS]
    assert not (QUICK_CELLS[0] / "sibling-seeds.log").exists()
    assert "400 environment steps" in (QUICK_CELLS[1] / "sibling-seeds.log").read_text()

    with together(2, "mappo") as process:  # its turn
        printed, _ = process.communicate(timeout=100)
    assert printed.strip() == f"{QUICK_CELLS[1]}: finished, nothing to do."

    alone = subprocess.run(
        [*command(2, "mappo"), "--results", "alone"], capture_output=True, text=True, timeout=100, check=True
    )
    assert alone.returncode == 0
    assert found[1] == evaluations(Path("alone", *QUICK_CELLS[1].parts[1:])) != found[0]


def test_forced_seeds_are_trained_again_at_the_same_time_and_once(workplace) -> None:
    """Snakemake removes the summary of a forced cell when its turn in the job comes; the others' are there
    still."""
    for seed in (1, 2):
        subprocess.run(command(seed, "mappo"), capture_output=True, timeout=100, check=True)
    forced = ["--finished-after", str(time.time())]
    for seed in (1, 2):
        (QUICK_CELLS[seed - 1] / "summary.json").unlink()
        with together(seed, "mappo", *forced) as process:
            printed, _ = process.communicate(timeout=100)
        assert process.returncode == 0, printed
        assert [json.loads((cell / "summary.json").read_text())["attempts"] for cell in QUICK_CELLS] == [2, 2]
    assert printed.strip() == f"{QUICK_CELLS[1]}: finished meanwhile, nothing to do."


def test_a_job_whose_seed_was_stopped_says_so_and_its_next_start_continues(workplace) -> None:
    status = CELLS[1] / "status.json"
    with together(1, "dima") as process:
        while not status.exists() or json.loads(status.read_text())["state"] != "running":
            time.sleep(0.01)
        os.kill(json.loads(status.read_text())["process"], signal.SIGTERM)
        printed, _ = process.communicate(timeout=100)
    assert process.returncode == 99
    assert (
        printed.strip().splitlines()[-1]
        == "dima: Sibling seeds stopped at a checkpoint: 2; the same command continues."
    )
    assert [(cell / "summary.json").exists() for cell in CELLS] == [True, False]
    with together(1, "dima") as process:
        printed, _ = process.communicate(timeout=100)
    assert process.returncode == 0, printed
    assert "finished, nothing to do" in printed
    assert "continuing at" in (CELLS[1] / "sibling-seeds.log").read_text()
    assert (CELLS[1] / "summary.json").exists()
