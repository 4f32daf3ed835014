"""`dima run`: the grid that it writes, what it refuses, and a run that is stopped and continued."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from dima.campaign.single_run import FIRST_LINE
from dima.cli import main
from dima.config.grid import CellKey, load_grid, plain_grid

SMALL = ("rollout_threads=2", "episode_length=50", "hidden_sizes=[16]", "ppo_epochs=2", "critic_epochs=2")
NAME = "run-push-mass-mappo"
CELL = f"results/{NAME}/cells/push-mass/mappo/seed-1"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("config", "reference"):
        shutil.copytree(ROOT / "workflow" / name, tmp_path / "workflow" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dima", "run", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_run_is_a_grid_of_one_cell_that_other_commands_know(folder: Path, capsys) -> None:
    done = run("push-mass", "mappo", "--steps", "400", "--set", *SMALL, "task.evaluation.episodes=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(f"{CELL}: return ")
    assert "after 400 environment steps." in done.stdout
    assert "1 of 1 cells done: 100%" in done.stderr
    config = load_grid(NAME).resolve(CellKey("push-mass", "mappo", 1))
    assert (config.task.env_steps, config.task.evaluation.every, config.task.evaluation.episodes) == (
        400,
        20,
        2,
    )
    assert (config.parameters.hidden_sizes, config.parameters.rollout_threads) == ((16,), 2)
    plain = plain_grid(["push-mass"], ["mappo"]).resolve(CellKey("push-mass", "mappo", 1))
    assert config.parameters.clip == plain.parameters.clip
    assert main(["tables", "--grid", NAME]) == 0
    with Path(f"results/{NAME}/tables/final_returns.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    final = json.loads(Path(CELL, "summary.json").read_text())
    assert [float(row["mean"]) for row in rows] == pytest.approx([final["final"]["mean"]], rel=1e-3)
    summary = json.loads(Path(CELL, "summary.json").read_text())
    again = run("push-mass", "mappo", "--steps", "400", "--set", *SMALL, "task.evaluation.episodes=2")
    assert again.returncode == 0, again.stderr
    assert json.loads(Path(CELL, "summary.json").read_text()) == summary


def test_the_overrides_of_another_grid_hold_below_those_of_the_command(monkeypatch) -> None:
    monkeypatch.setattr("dima.campaign.single_run.train", lambda *arguments: 0)
    given = [
        "--like",
        "quick",
        "--seed",
        "7",
        "--set",
        "behavior.horizon=3",
        "denoiser.optimizer.learning_rate=1e-3",
    ]
    assert main(["run", "push-mass", "dima", "--name", "mine", *given]) == 0
    mine = load_grid("mine").resolve(CellKey("push-mass", "dima", 7))
    quick = load_grid("quick").resolve(CellKey("push-mass", "dima", 1))
    assert (mine.parameters.behavior.horizon, mine.parameters.denoiser.optimizer.learning_rate) == (3, 1e-3)
    assert mine.task == quick.task
    assert mine.parameters.reward_model == quick.parameters.reward_model
    assert main(["run", "push-mass", "dima", "--name", "mine", "--like", "quick"]) == 0
    assert {cell.seed for cell in load_grid("mine").cells} == {1, 7}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["push-mas", "dima"], "Unknown task 'push-mas', perhaps 'push-mass'; choose from "),
        (["push-mass", "dimma"], "Unknown method 'dimma', perhaps 'dima'; choose from "),
        (["push-mass", "dima", "--like", "quik"], "Unknown grid 'quik', perhaps 'quick'; choose from "),
        (["push-mass", "dima", "--set", "behavior.horizo=3"], "perhaps 'horizon'"),
        (["push-mass", "dima", "--set", "behavior.horizon"], "--set takes parameter=value"),
        (["push-mass", "dima", "--set", "behavior..horizon=3"], "--set takes parameter=value"),
        (["push-mass", "dima", "--set", "behavior.horizon=[3"], "--set behavior.horizon=[3 cannot be read"),
        (["push-mass", "dima", "--set", "behavior.horizon=-3"], "horizon"),
        (["push-mass", "dima", "--set", "task.env_steps=many"], "env_steps"),
        (["push-mass", "dima", "--name", "quick"], "quick.yaml was not written by `dima run`"),
        (["push-mass", "dima", "--name", "../mine"], "--name takes small letters, digits and hyphens"),
        (["push-mass", "dima", "--name", "My run"], "such as my-run, not 'My run'."),
        (["push-mass", "happo-checkout"], "does not run on push-mass"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(folder: Path, arguments, words, capsys) -> None:
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*.yaml"))}
    assert main(["run", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("dima: ")
    assert words in said
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*.yaml"))} == before
    assert not (folder / "results").exists()


def test_a_file_that_somebody_copied_is_kept(monkeypatch, capsys) -> None:
    monkeypatch.setattr("dima.campaign.single_run.train", lambda *arguments: 0)
    assert main(["run", "push-mass", "dima"]) == 0
    written = Path("workflow/config/run-push-mass-dima.yaml")
    assert written.read_text().startswith(FIRST_LINE)
    written.write_text(written.read_text().removeprefix(FIRST_LINE))
    assert main(["run", "push-mass", "dima"]) == 2


def test_sigterm_stops_at_a_checkpoint_and_the_same_command_continues() -> None:
    arguments = ["push-mass", "mappo", "--steps", "200000", "--set", *SMALL]
    process = subprocess.Popen(
        [sys.executable, "-m", "dima", "run", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    status = Path(CELL, "status.json")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        status.exists() and json.loads(status.read_text())["env_steps"] > 500
    ):
        time.sleep(0.1)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 99, said
    assert "the same command continues" in said
    assert any(Path(CELL, "checkpoint").iterdir())
