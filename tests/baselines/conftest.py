"""Small MAPPO cells whose parameters differ from HARL's defaults wherever a mix-up could hide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from dima.baselines.harl import HarlOnPolicyLearner
from dima.config import CellConfig
from dima.grid import validate
from dima.yaml_file import read_yaml

REPOSITORY = Path(__file__).parents[2]
SUITES = {"push-mass": "toy", "halfcheetah-2x3": "mamujoco"}
SMALL = {
    "rollout_threads": 3,
    "episode_length": 30,
    "hidden_sizes": [16, 8],
    "activation": "tanh",
    "gain": 0.02,
    "std_x_coefficient": 1.5,
    "std_y_coefficient": 0.4,
    "learning_rate": 2e-3,
    "critic_learning_rate": 3e-3,
    "adam_epsilon": 1e-6,
    "weight_decay": 1e-4,
    "linear_learning_rate_decay": True,
    "ppo_epochs": 3,
    "critic_epochs": 2,
    "clip": 0.15,
    "minibatches": 2,
    "entropy_coefficient": 0.02,
    "value_loss_coefficient": 0.7,
    "gradient_clip": 0.3,
    "huber_delta": 0.5,
    "discount": 0.97,
    "gae_lambda": 0.9,
}


@pytest.fixture
def make_cell() -> Callable[..., CellConfig]:
    """`make_cell(task, seed, env_steps, **changed parameters)`: by default push-mass for two updates of 90 steps."""
    base = read_yaml(REPOSITORY / "workflow/config/methods/mappo.yaml")["parameters"]

    def make(task: str = "push-mass", seed: int = 1, env_steps: int = 180, **parameters: Any) -> CellConfig:
        values = {
            "grid": "test",
            "task": {
                "name": task,
                "label": task,
                "suite": SUITES[task],
                "preset": "paper",
                "agents": 2,
                "env_steps": env_steps,
                "evaluation": {"every": 90, "episodes": 1},
                "comparable_with_paper": False,
                "simulator": "numpy" if task == "push-mass" else "mujoco",
            },
            "method": "mappo",
            "engine": "harl",
            "seed": seed,
            "parameters": {**base, **SMALL, **parameters},
        }
        return validate(CellConfig, values, "test")

    return make


@pytest.fixture
def make_learner() -> Iterator[Callable[[CellConfig], HarlOnPolicyLearner]]:
    """`make_learner(cell)`; the learners are closed after the test."""
    pytest.importorskip("harl")
    learners: list[HarlOnPolicyLearner] = []

    def make(cell: CellConfig) -> HarlOnPolicyLearner:
        if cell.task.suite == "mamujoco":
            pytest.importorskip("mujoco")
        learners.append(HarlOnPolicyLearner(cell, torch.device("cpu")))
        return learners[-1]

    yield make
    for learner in learners:
        learner.close()
