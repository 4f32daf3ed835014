"""Real workflows over a real cell, at once and after a kill: the cell is trained once, and its result is
never lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY_MAPPO

from dima.campaign.cell_plan import CellPlan, cell_plans
from dima.config.grid import load_grid
from dima.record.events import VARYING, read_events

ROOT = Path(__file__).parents[2]
CELL = "results/quick/cells/push-mass/mappo/seed-1"

pytestmark = pytest.mark.slow


class Workplace:
    """A folder with the repository's configuration, a quick grid of one cell, and the real `dima`."""

    def __init__(self, folder: Path, env_steps: int) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        shutil.copytree(ROOT / "workflow", folder / "workflow")
        (folder / "local").symlink_to("workflow/profiles/local")
        task = {"env_steps": env_steps, "evaluation": {"every": env_steps // 4, "episodes": 2}}
        experiments = {"final_returns": [{"tasks": ["push-mass"], "methods": ["mappo"], "seeds": [1]}]}
        self.grid = {
            "experiments": experiments,
            "overrides": {"tasks": {"push-mass": task}, "methods": {"mappo": dict(TINY_MAPPO)}},
        }
        self.write_grid()

    def write_grid(self, comment: str = "") -> None:
        (self.folder / "workflow/config/quick.yaml").write_text(
            comment + yaml.safe_dump(self.grid), encoding="utf-8"
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Snakemake as `--profile local` runs it, asked for the cell."""
        command = [Path(sys.executable).with_name("snakemake"), f"{CELL}/summary.json", *arguments]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [*command, "--snakefile", ROOT / "Snakefile", "--profile", "local", "--cores", "1"],
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> str:
        """What a workflow printed that ended well."""
        with self.start(*arguments) as workflow:
            printed, _ = workflow.communicate(timeout=100)
        assert workflow.returncode == 0, printed
        return printed

    def read(self, name: str) -> Any:
        """The cell's file, None before it is there."""
        path = self.folder / CELL / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def wait_until(self, condition: Callable[[], object], *workflows: subprocess.Popen[str]) -> None:
        while not condition():
            for workflow in workflows:
                if workflow.poll() is not None:
                    raise AssertionError(workflow.stdout and workflow.stdout.read())
            time.sleep(0.02)

    def trains(self) -> bool:
        status = self.read("status.json")
        return status is not None and status["state"] == "running" and status["env_steps"] > 0

    def plans(self) -> list[CellPlan]:
        return cell_plans(
            load_grid("quick", self.folder / "workflow/config"), self.folder / "results/quick/cells"
        )

    def learned(self) -> tuple[list[dict[str, Any]], bytes]:
        """The events without the clock, and the last checkpoint's tensors."""
        events = read_events(self.folder / CELL / "events.jsonl")
        tensors = max((self.folder / CELL / "checkpoint").iterdir()) / "tensors.safetensors"
        return [
            {name: value for name, value in event.items() if name not in VARYING} for event in events
        ], tensors.read_bytes()

    def trained(self) -> tuple[int, int]:
        """Attempts, and processes that worked on the last of them."""
        return self.read("summary.json")["attempts"], len(self.read("provenance.json")["starts"])


def has_ended(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z"


def test_two_workflows_at_once_train_a_cell_once(tmp_path: Path) -> None:
    place = Workplace(tmp_path, env_steps=6_000)
    with place.start() as first:
        place.wait_until(place.trains, first)
        with place.start() as second:
            printed, _ = second.communicate(timeout=100)
        assert second.returncode == 0, printed
        assert "in rule" not in printed  # as where its job failed and was tried again
        assert first.wait(timeout=30) == 0
    assert place.trained() == (1, 1)


@pytest.mark.parametrize("again", ["at once", "after the cell has ended"])
def test_a_killed_workflow_leaves_a_cell_that_the_next_one_takes_over(tmp_path: Path, again: str) -> None:
    place = Workplace(tmp_path, env_steps=6_000)
    with place.start() as killed:
        place.wait_until(place.trains, killed)
        os.kill(killed.pid, signal.SIGKILL)
    process = place.read("status.json")["process"]
    assert not has_ended(process)
    if again == "after the cell has ended":
        place.wait_until(lambda: has_ended(process))
        assert place.read("summary.json") is not None
    place.run()
    assert place.trained() == (1, 1)
    assert "Nothing to be done" in place.run()


def test_a_finished_cell_is_trained_again_when_forced_or_changed_and_a_comment_changes_nothing(
    tmp_path: Path,
) -> None:
    place = Workplace(tmp_path, env_steps=400)
    place.run()
    first = place.read("summary.json")
    place.run("--force")
    forced = place.read("summary.json")
    assert (forced["attempts"], forced["final"]) == (2, first["final"])
    assert (place.folder / CELL / "attempts/1/events.jsonl").exists()

    place.write_grid("# another comment\n")
    method = place.folder / "workflow/config/methods/mappo.yaml"
    method.write_text("# and one here\n" + method.read_text(encoding="utf-8"), encoding="utf-8")
    assert "Nothing to be done" in place.run()

    place.grid["overrides"]["methods"]["mappo"]["hidden_sizes"] = [8]
    place.write_grid()
    place.run()
    assert place.read("summary.json")["attempts"] == 3
    assert place.read("summary.json")["config_hash"] != forced["config_hash"]


def test_a_cell_that_is_killed_is_tried_again_in_the_same_workflow(tmp_path: Path) -> None:
    place = Workplace(tmp_path, env_steps=6_000)
    with place.start() as workflow:
        place.wait_until(place.trains, workflow)
        os.kill(place.read("status.json")["process"], signal.SIGKILL)
        printed, _ = workflow.communicate(timeout=100)
    assert workflow.returncode == 0, printed
    assert place.trained() == (1, 2)


def test_a_raised_budget_continues_and_its_beginning_is_the_old_run_bit_for_bit(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "continued", env_steps=400)
    place.run()
    log, first = (place.folder / CELL / "events.jsonl").read_bytes(), place.read("summary.json")
    place.grid["overrides"]["tasks"]["push-mass"]["env_steps"] = 800
    place.write_grid()
    (plan,) = place.plans()
    assert (plan.fate, plan.state) == ("continue", "with a raised budget")
    assert plan.seconds_left == pytest.approx(first["wall_seconds"])

    place.run()
    assert "continuing at 400 of 800" in (
        place.folder / "results/quick/logs/push-mass/mappo/seed-1.log"
    ).read_text(encoding="utf-8")
    assert (place.folder / CELL / "events.jsonl").read_bytes().startswith(log)
    assert (place.folder / CELL / "attempts/1/events.jsonl").read_bytes() == log
    assert json.loads((place.folder / CELL / "attempts/1/summary.json").read_text(encoding="utf-8")) == first
    assert place.read("provenance.json")["continued"] == {
        "attempt": 1,
        "digest": first["config_hash"],
        "budget": 400,
    }
    summary = place.read("summary.json")
    assert (
        summary["attempts"],
        summary["budget"],
        summary["continued"]["budget"],
        len(summary["provenance"]),
    ) == (2, 800, 400, 2)
    assert summary["provenance"][0] == first["provenance"][0]
    assert place.plans()[0].fate == "finished"
    subprocess.run(
        [sys.executable, "-m", "dima", "tables", "--grid", "quick"], cwd=place.folder, check=True, timeout=100
    )
    assert ",1,1," in (place.folder / "results/quick/tables/final_returns.csv").read_text(encoding="utf-8")

    whole = Workplace(tmp_path / "whole", env_steps=400)
    whole.grid = place.grid
    whole.write_grid()
    whole.run()
    assert place.learned() == whole.learned()

    place.grid["overrides"]["tasks"]["push-mass"]["env_steps"] = 400
    place.write_grid()
    assert place.plans()[0].reason == "budget changed: task.env_steps 800 -> 400; its budget was not raised"
