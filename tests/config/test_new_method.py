"""A new method is three files: a module, a YAML and a line of the registry."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

MODULE = '''
"""Uniform actions, from which nothing is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import envs
from dima.config.base import Count
from dima.config.method import NativeParameters

if TYPE_CHECKING:
    import torch

    from dima.config import CellConfig


class UniformParameters(NativeParameters):
    algorithm: Literal["uniform"]
    steps: Count


class UniformLearner:
    def __init__(self, config: CellConfig, device: torch.device) -> None:
        task, self._steps = config.task, config.parameters.steps
        self._environment = envs.make(task.name, seed=config.seed, preset=task.preset, engine=task.simulator)
        self._environment.reset()
        self._random = np.random.default_rng(config.seed)
        self.lineage, self.env_steps, self.epoch = self._environment.spec.lineage, 0, 0

    def run_epoch(self) -> dict[str, dict[str, float]]:
        spec, rewards = self._environment.spec, []
        for _ in range(self._steps):
            action = self._random.uniform(-1, 1, (1, spec.n_agents, spec.act_dim)).astype(np.float32)
            rewards.append(float(self._environment.step(action).reward[0]))
        self.env_steps, self.epoch = self.env_steps + self._steps, self.epoch + 1
        return {"collect": {"reward": sum(rewards) / len(rewards)}}

    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.zeros((*observations.shape[:2], self._environment.spec.act_dim), dtype=np.float32)

    def frozen_policy(self) -> Any:
        return self.act

    def state_dict(self) -> dict[str, Any]:
        simulation, stream = self._environment.get_sim_state(), self._random.bit_generator.state
        return {"steps": self.env_steps, "epoch": self.epoch, "simulation": simulation, "stream": stream}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.env_steps, self.epoch = state["steps"], state["epoch"]
        self._environment.set_sim_state(state["simulation"])
        self._random.bit_generator.state = state["stream"]

    def load_policy(self, state: dict[str, Any]) -> None:
        pass

    def close(self) -> None:
        self._environment.close()
'''
YAML = """
engine: native
about: {source: this test, licence: MIT, suites: [toy], resume: everything, deviations: none}
parameters: {algorithm: uniform, compute: reference, steps: 50}
"""
LINE = '    "dima.baselines.uniform:UniformParameters": "dima.baselines.uniform:UniformLearner",\n'
GRID = """
experiments: {final_returns: [{tasks: [push-mass], methods: [uniform], seeds: [1]}]}
overrides: {tasks: {push-mass: {env_steps: 300, evaluation: {every: 100, episodes: 2}}}}
"""
WITHOUT_TORCH = (
    "import sys; sys.modules['torch'] = None; from dima.cli import main; sys.exit(main(['methods']))"
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What `dima train` needs of the repository, with a grid for the new method."""
    for folder in ("dima", "envs", "workflow/config"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "workflow/config/trial.yaml").write_text(GRID, encoding="utf-8")
    return tmp_path


def files(root: Path) -> dict[str, list[str]]:
    """The lines of every file that somebody wrote."""
    paths = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    written = {str(path.relative_to(root)): path for path in paths}
    return {
        name: path.read_text(encoding="utf-8").splitlines(keepends=True)
        for name, path in written.items()
        if not name.startswith("results/")
    }


def run(root: Path, *arguments: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    environ.pop("DIMA_MONGO_URI", None)
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_method_is_a_module_a_yaml_and_a_line(copy: Path) -> None:
    before = files(copy)
    (copy / "dima/baselines/uniform.py").write_text(MODULE, encoding="utf-8")
    (copy / "workflow/config/methods/uniform.yaml").write_text(YAML, encoding="utf-8")
    registry = copy / "dima/config/registry.py"
    first, rest = registry.read_text(encoding="utf-8").split("METHODS = {\n")
    registry.write_text(f"{first}METHODS = {{\n{LINE}{rest}", encoding="utf-8")

    run(
        copy,
        *[
            "-m",
            "dima",
            "train",
            "--grid",
            "trial",
            "--task",
            "push-mass",
            "--method",
            "uniform",
            "--seed",
            "1",
            "--device",
            "cpu",
        ],
    )
    summary = json.loads((copy / "results/trial/cells/push-mass/uniform/seed-1/summary.json").read_text())
    assert (summary["budget"], summary["final"]["episodes"]) == (300, 2)
    assert "\nuniform\n  engine: native\n  suites: toy\n" in run(copy, "-c", WITHOUT_TORCH)
    run(copy, "-c", "import dima.baselines.uniform")  # also before the configuration

    after = files(copy)
    assert {name for name in after if after[name] != before.get(name)} == {
        "dima/baselines/uniform.py",
        "dima/config/registry.py",
        "workflow/config/methods/uniform.yaml",
    }
    assert before.keys() <= after.keys()
    lines = list(
        difflib.unified_diff(before["dima/config/registry.py"], after["dima/config/registry.py"], n=0)
    )
    assert [line for line in lines[2:] if line[0] in "+-"] == [f"+{LINE}"]
