"""Small MARIE cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import CONFIG

from dima.config import CellConfig, MarieParameters
from dima.grid import merge, validate
from dima.yaml_file import read_yaml

TINY = {
    "replay_capacity": 1000,
    "tokenizer": {"tokens": 3, "codebook_size": 12, "codebook_dim": 4, "hidden": 16, "batch_size": 16, "updates_per_epoch": 3},
    "world_model": {
        "dim": 16, "layers": 2, "heads": 2, "action_bins": 8, "batch_size": 4, "updates_per_epoch": 2,
        "aggregation": {"layers": 1, "heads": 2, "head_dim": 8, "feed_forward_multiplier": 1},
        "reward_bins": {"count": 16},
    },
    "behavior": {
        "horizon": 4, "rollouts": 6, "rollout_chunk": 4, "policy_updates_per_epoch": 2, "ppo_epochs": 2,
        "actor_hidden": [16], "critic_dim": 8, "critic_heads": 2, "critic_hidden": [8],
    },
    "schedule": {"min_new_steps": 50, "warmup_steps": 50, "first_world_model_epoch": 1, "first_policy_epoch": 1},
}  # fmt: skip


@pytest.fixture
def make_cell() -> Callable[..., CellConfig]:
    """`make_cell(seed, task, **changed parameters)`: at sizes of seconds, by default push-mass."""
    file = read_yaml(CONFIG / "methods/marie.yaml")

    def make(seed: int = 1, task: str = "push-mass", **parameters: Any) -> CellConfig:
        played = {"name": task, **read_yaml(CONFIG / f"tasks/{task}.yaml")}
        values = {"grid": "test", "task": played, "method": "marie", "engine": "native", "seed": seed}
        return validate(
            CellConfig,
            values | {"parameters": merge(file["parameters"], file["for_suite"].get(played["suite"], {}), TINY, parameters)},
            "test",
        )

    return make


@pytest.fixture(scope="session")
def paper_marie() -> MarieParameters:
    """The release's sizes for MAMuJoCo."""
    return validate(MarieParameters, read_yaml(CONFIG / "methods/marie.yaml")["parameters"], "test")
