"""Every registered task and every method, trained for two epochs and evaluated: whatever the sizes, a cell
can hold it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import TINY_DIMA, TINY_HASAC, TINY_MAMBA, TINY_MAPPO, TINY_MARIE

import envs
from dima.baselines.harl_off_policy import HarlOffPolicyLearner
from dima.baselines.harl_on_policy import HarlOnPolicyLearner
from dima.baselines.mamba.learner import MambaLearner
from dima.baselines.marie.learner import MarieLearner
from dima.cli import main
from dima.config.grid import load_grid
from dima.learning.dima_learner import DimaLearner

TINY = {
    "dima": (TINY_DIMA, DimaLearner),
    "marie": (TINY_MARIE, MarieLearner),
    "mamba": (TINY_MAMBA, MambaLearner),
    "mappo": (TINY_MAPPO, HarlOnPolicyLearner),
    "happo": (TINY_MAPPO, HarlOnPolicyLearner),
    "hasac": (TINY_HASAC, HarlOffPolicyLearner),
}
NATIVE = ("dima", "marie", "mamba")
ONE_OF_EACH_SUITE = ("push-mass", "ant-4x2", "pen")
CELLS = [(task, "dima") for task in sorted(envs.TASKS)] + [
    (task, method) for task in ONE_OF_EACH_SUITE for method in TINY if method != "dima"
]

pytestmark = [pytest.mark.slow, pytest.mark.remembered]


def short_cell(workplace: Path, task: str, method: str, **changes: str) -> list[str]:
    """The command of a cell of two epochs; `changes` are the task's."""
    path = workplace / "workflow/config/tiny.yaml"
    parameters = TINY[method][0]
    if method in NATIVE:
        parameters = parameters | {
            "schedule": parameters["schedule"] | {"epoch_trigger": "fixed_steps", "min_new_steps": 100}
        }
    grid = {
        "experiments": {"final_returns": [{"tasks": [task], "methods": [method], "seeds": [1]}]},
        "overrides": {
            "tasks": {task: {"env_steps": 200, "evaluation": {"every": 200, "episodes": 2}} | changes},
            "methods": {method: parameters},
        },
    }
    path.write_text(yaml.safe_dump(grid))
    return [
        "train",
        "--grid",
        "tiny",
        "--task",
        task,
        "--method",
        method,
        "--seed",
        "1",
        "--checkpoint-seconds",
        "0",
    ]


def test_these_are_the_papers_methods() -> None:
    assert {cell.method for cell in load_grid("paper").cells} == {*TINY, "dima-joint"}


def test_each_suite_has_one_task_that_every_method_trains_on() -> None:
    suites = [envs.make(task).spec.suite for task in envs.TASKS]
    assert sorted(envs.make(task).spec.suite for task in ONE_OF_EACH_SUITE) == sorted(set(suites))


@pytest.mark.parametrize(("task", "method"), CELLS)
def test_a_short_cell_of_it(workplace: Path, task: str, method: str) -> None:
    assert main(short_cell(workplace, task, method)) == 0
    summary = json.loads((workplace / f"results/tiny/cells/{task}/{method}/seed-1/summary.json").read_text())
    assert summary["lineage"] == envs.make(task).spec.lineage
    assert summary["epochs"] == 2
    assert len(summary["final"]["returns"]) == 2
    assert np.isfinite(summary["final"]["mean"])


@pytest.mark.parametrize("method", TINY)
def test_a_cell_in_a_simulator_that_cannot_be_saved(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Isaac Gym's stand-in: interrupted in its second epoch, the cell continues from its checkpoint with a
    new episode."""
    stand_in = Path(__file__).parent / "envs/isaac_stand_in"
    monkeypatch.setenv(
        "PYTHONPATH",
        os.pathsep.join(str(stand_in / part) for part in ("common", "original", "torch_substitute")),
    )
    monkeypatch.setenv("DIMA_ISAACGYM_COMMAND", sys.executable)
    command = short_cell(workplace, "pen", method, simulator="isaacgym", preset="paper")
    learner = TINY[method][1]
    run_epoch = learner.run_epoch

    def interrupted(self: Any) -> Any:
        if self.epoch == 1:
            raise KeyboardInterrupt
        return run_epoch(self)

    with monkeypatch.context() as patch:
        patch.setattr(learner, "run_epoch", interrupted)
        assert main(command) == 130
    assert main(command) == 0
    folder = workplace / f"results/tiny/cells/pen/{method}/seed-1"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["lineage"] == "BiDexHands-ShadowHandPen/isaacgym-1.0rc4/cpu"
    assert (summary["epochs"], len(summary["provenance"])) == (2, 2)
