"""A task of a new suite in a new simulator is three files: a copy with nothing else new trains it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, TINY_DIMA, TINY_MAPPO

MODULE = '''
import numpy as np

from envs.episodes import EpisodicEnvironment
from envs.interface import EnvSpec


class Tug(EpisodicEnvironment):
    """Three agents pull a knot along a line, towards 0."""

    def __init__(self, task, num_envs, seed, preset):
        spec = EnvSpec(
            task=task, suite="ropes", n_agents=3, obs_dim=2, state_dim=1, act_dim=1, episode_limit=20,
            engine="rope-1", lineage="tug-v1", preset=preset,
        )
        super().__init__(spec, num_envs, seed)
        self.knots = np.zeros((num_envs, 1))

    def _begin_episodes(self, worlds):
        for world in worlds:
            self.knots[world] = self._random[world].uniform(-1, 1)

    def _advance(self, actions):
        self.knots += 0.1 * actions.mean(axis=1)
        return -abs(self.knots[:, 0]), abs(self.knots[:, 0]) > 2

    def _engine_state(self):
        return self.knots

    def _observe(self, state):
        places = np.broadcast_to(np.linspace(-1, 1, 3), (len(state), 3))
        return np.stack([np.repeat(state, 3, axis=1), places], axis=2)

    def _save_engine(self):
        return {"knots": self.knots.copy()}

    def _restore_engine(self, saved):
        self.knots[:] = saved["knots"]

    def close(self):
        pass
'''
TASK = """
label: Tug of war
suite: ropes
preset: paper
simulator: rope
agents: 3
env_steps: 300
evaluation: {every: 150, episodes: 2}
comparable_with_paper: false
"""
LINE = '    "tug": Registration("ropes", {"rope": Engine("envs.tug:Tug")}),\n'
GRID = {
    "experiments": {"final_returns": [{"tasks": ["tug"], "methods": ["dima", "mappo"], "seeds": [1]}]},
    "overrides": {"methods": {"dima": TINY_DIMA, "mappo": TINY_MAPPO}},
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's code and configuration with the new task, and a grid that names it."""
    folder = tmp_path_factory.mktemp("copy")
    for part in ("envs", "dima", "workflow"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "envs/tug.py").write_text(MODULE)
    (folder / "workflow/config/tasks/tug.yaml").write_text(TASK)
    registry = folder / "envs/registry.py"
    head, start, rest = registry.read_text().partition("TASKS: Mapping[str, Registration] = {\n")
    registry.write_text(head + start + LINE + rest)
    (folder / "workflow/config/ropes.yaml").write_text(yaml.safe_dump(GRID))
    return folder


def run(copy: Path, *arguments: str) -> str:
    """What a command of the copy's `dima` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "dima", *arguments],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def train(copy: Path, method: str, *options: str) -> None:
    run(copy, "train", "--grid", "ropes", "--task", "tug", "--seed", "1", "--method", method, *options)


def different(copy: Path) -> list[str]:
    """Files of code and configuration that the project has not, or has otherwise."""
    files = (path.relative_to(copy) for path in copy.rglob("*") if path.suffix in (".py", ".yaml"))
    found = [
        path
        for path in files
        if not (ROOT / path).exists() or (ROOT / path).read_bytes() != (copy / path).read_bytes()
    ]
    return sorted(str(path) for path in found if path.parts[0] != "results")


@pytest.mark.parametrize("method", ["dima", "mappo"])
def test_it_trains_with_three_files(copy: Path, method: str) -> None:
    train(copy, method)
    summary = json.loads((copy / f"results/ropes/cells/tug/{method}/seed-1/summary.json").read_text())
    assert (summary["suite"], summary["lineage"], summary["budget"]) == ("ropes", "tug-v1", 300)
    assert len(summary["final"]["returns"]) == 2
    grid = "workflow/config/ropes.yaml"  # of the cells, not of the task
    task = ["envs/registry.py", "envs/tug.py", "workflow/config/tasks/tug.yaml"]
    assert different(copy) == sorted([*task, grid])


def test_it_is_in_the_table_of_tasks(copy: Path) -> None:
    rows = [line.split() for line in run(copy, "tasks").splitlines()]
    assert ["tug", "paper", "ropes", "3", "2", "1", "1", "20", "rope-1", "tug-v1"] in rows


def test_its_results_become_tables_and_figures(copy: Path) -> None:
    train(copy, "mappo")
    run(copy, "tables", "--grid", "ropes")
    run(copy, "figures", "--grid", "ropes")
    assert list(copy.glob("results/ropes/**/learning_curves_ropes.*"))


def test_a_suite_that_the_registry_does_not_know_is_refused(copy: Path) -> None:
    path = copy / "workflow/config/tasks/tug.yaml"
    path.write_text(TASK.replace("suite: ropes", "suite: robes"))
    try:
        with pytest.raises(AssertionError, match="Task tug is of suite ropes, its configuration says robes"):
            train(copy, "dima", "--from-scratch")
    finally:
        path.write_text(TASK)
