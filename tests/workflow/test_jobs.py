"""What a Slurm job of a workflow does when it is asked to stop: the real rules, with stand-ins for Slurm and
for cells."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = "results/quick/cells/push-mass/dima"
STOPPED = """import json, os, pathlib, sys, time
folder = pathlib.Path("results/quick/cells/push-mass/dima/seed-" + sys.argv[sys.argv.index("--seed") + 1])
folder.mkdir(parents=True, exist_ok=True)
status = {"state": "interrupted", "env_steps": 400, "latest_return": 1.0, "wall_seconds": 1.0}
status |= {"updated": time.time(), "message": "stopped"}
(folder / "status.json").write_text(json.dumps(status))
(folder / "siblings").write_text(" ".join(sys.argv[sys.argv.index("--with-seeds") + 1:]))
sys.exit(99)
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a `squeue` that says what is in `state`, and a `scontrol` that writes what it was asked
    for to `asked`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "state").write_text("RUNNING\n")
    for name, line in (("squeue", f'cat "{folder}/state"'), ("scontrol", f'echo "$*" >>"{folder}/asked"')):
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    return folder


def test_seeds_of_one_job_are_trained_side_by_side_and_a_stopped_job_is_queued_again(
    stage, slurm: Path
) -> None:
    """Called as the executor of Slurm calls it."""
    stage.write(
        "quick.yaml",
        "experiments: {final_returns: [{tasks: [push-mass], methods: [dima], seeds: [1, 2, 10]}]}\n",
    )
    (stage.folder / "dima.py").write_text(STOPPED)
    jobs = [f"cell:grid=quick,task=push-mass,method=dima,seed={seed}" for seed in (10, 2)]
    result = stage.snakemake(
        "--mode", "remote", "--cores", "1", "--nolock", "--allowed-rules", "cell", "--target-jobs", *jobs
    )
    assert result.returncode != 0
    assert {path.read_text() for path in (stage.folder / FOLDER).glob("*/siblings")} == {"2 10 --wait"}
    assert "Job 7 goes back into the queue." in result.stdout
    assert (slurm / "asked").read_text().splitlines()[-1] == "requeue 7"


def test_a_forced_cell_is_trained_again_in_this_process_and_in_slurms(stage) -> None:
    """A dry run prints the commands. The processes that Slurm starts get the time from the first one's
    environment, as `envvars` asks of it."""
    stage.write(
        "quick.yaml",
        "experiments: {final_returns: [{tasks: [push-mass], methods: [dima], seeds: [1]}]}\n",
    )
    summary, started = f"{FOLDER}/seed-1/summary.json", time.time()

    def times(*arguments: str, **environment: str) -> set[float]:
        result = stage.snakemake("--dry-run", "--printshellcmds", *arguments, **environment)
        assert result.returncode == 0, result.stderr
        return set(map(float, re.findall(r"dima train .*--finished-after (\S+)", result.stdout)))

    assert times("quick", DIMA_FINISHED_AFTER="5.0") == {0.0}
    assert times("--force", "quick_tables") == {0.0}  # needs the cell, but does not force it
    for forced in (["--force", summary], ["--forcerun", "cell"], ["--forceall", "quick"]):
        (time_of_run,) = times(*forced)
        assert started < time_of_run < time.time()
    job = "cell:grid=quick,task=push-mass,method=dima,seed=1"
    remote = ["--mode", "remote", "--force", "--allowed-rules", "cell", "--target-jobs", job]
    assert times(*remote, DIMA_FINISHED_AFTER="1234.5") == {1234.5}


@pytest.mark.parametrize(
    ("state", "word", "again"),
    [
        ("RUNNING", '{"state": "interrupted", "updated": 1000.5}', True),
        ("COMPLETING", '{"state": "interrupted", "updated": 1000.5}', False),  # it is being cancelled
        (
            "RUNNING",
            '{"state": "interrupted", "updated": 999.5}',
            False,
        ),  # by another process, before this job began
        ("RUNNING", '{"state": "diverged", "updated": 1000.5}', False),
        ("RUNNING", "", False),
    ],
)
def test_only_a_job_that_stopped_and_is_not_being_cancelled_is_queued_again(
    slurm: Path, tmp_path: Path, state: str, word: str, again: bool
) -> None:
    (slurm / "state").write_text(f"{state}\n")
    (tmp_path / "status.json").write_text(word)
    job = SimpleNamespace(rule=SimpleNamespace(name="cell"), output=[str(tmp_path / "summary.json")])
    rules = ROOT / "workflow/rules/requeue.smk"
    names = {
        "workflow": SimpleNamespace(is_main_process=True),
        "jobs_of_process": lambda: [job],
        "STARTED": 1000.0,
    }
    exec(compile(rules.read_text(encoding="utf-8"), rules, "exec"), names)  # noqa: S102 - a Snakefile that is plain Python
    names["requeue"]()
    assert (slurm / "asked").exists() == again
