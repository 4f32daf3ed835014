"""Small cells of HARL's methods whose parameters differ from HARL's defaults wherever a mix-up could hide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from dima.baselines.harl_learner import HarlLearner
from dima.baselines.harl_off_policy import HarlOffPolicyLearner
from dima.baselines.harl_on_policy import HarlOnPolicyLearner
from dima.config import CellConfig
from dima.config.grid import validate
from dima.config.yaml_file import read_yaml

REPOSITORY = Path(__file__).parents[2]
SUITES = {"push-mass": "toy", "halfcheetah-2x3": "mamujoco"}
SMALL_ON_POLICY = {
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
SMALL_HASAC = {
    "rollout_threads": 3,
    "warmup_steps": 60,
    "train_interval": 10,
    "updates_per_vector_step": 0.5,
    "hidden_sizes": [16, 8],
    "activation": "tanh",
    "final_activation": "relu",
    "learning_rate": 2e-3,
    "critic_learning_rate": 3e-3,
    "linear_learning_rate_decay": True,
    "automatic_temperature": True,
    "temperature_learning_rate": 4e-3,
    "discount": 0.97,
    "replay_capacity": 150,
    "batch_size": 40,
    "polyak": 0.02,
    "n_step": 4,
    "huber_delta": 0.5,
}
SMALL = {
    "mappo": SMALL_ON_POLICY,
    "happo": SMALL_ON_POLICY | {"share_parameters": False, "fixed_order": False},
    "hasac": SMALL_HASAC,
}


@pytest.fixture
def make_cell() -> Callable[..., CellConfig]:
    """`make_cell(task, seed, env_steps, method, **changed parameters)`: by default MAPPO on push-mass for two
    updates of 90 steps."""

    def make(
        task: str = "push-mass", seed: int = 1, env_steps: int = 180, method: str = "mappo", **parameters: Any
    ) -> CellConfig:
        file = "hasac" if method == "hasac" else "mappo"
        base = read_yaml(REPOSITORY / f"workflow/config/methods/{file}.yaml")["parameters"]
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
            "method": method,
            "engine": "harl",
            "seed": seed,
            "parameters": {**base, "algorithm": method, **SMALL[method], **parameters},
        }
        return validate(CellConfig, values, "test")

    return make


@pytest.fixture
def make_learner() -> Iterator[Callable[[CellConfig], HarlLearner]]:
    """`make_learner(cell)`; the learners are closed after the test."""
    pytest.importorskip("harl")
    learners: list[HarlLearner] = []

    def make(cell: CellConfig) -> HarlLearner:
        if cell.task.suite == "mamujoco":
            pytest.importorskip("mujoco")
        learner = HarlOffPolicyLearner if cell.method == "hasac" else HarlOnPolicyLearner
        learners.append(learner(cell, torch.device("cpu")))
        return learners[-1]

    yield make
    for learner in learners:
        learner.close()
