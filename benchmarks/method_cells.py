"""Cells of any method for `benchmarks.gpu`: at the paper's sizes, or at toy sizes that take seconds."""

from __future__ import annotations

from typing import Any

from benchmarks.workload import CONFIG
from dima.config import CellConfig
from dima.config.grid import CellKey, merge, plain_grid, validate
from dima.config.method_files import method_summaries
from dima.errors import UserError

TASKS = {"paper": "halfcheetah-2x3", "toy": "push-mass"}
"""The default tasks."""
TOY_TASK: dict[str, Any] = {"env_steps": 1000, "evaluation": {"every": 100, "episodes": 2}}
COLLECTION = {"min_new_steps": 50, "warmup_steps": 100}
ON_POLICY: dict[str, Any] = {
    "rollout_threads": 4,
    "episode_length": 10,
    "hidden_sizes": [16],
    "ppo_epochs": 2,
    "critic_epochs": 2,
}
TOY: dict[str, dict[str, Any]] = {
    "dima": {
        "replay": {"capacity": 1000},
        "state_decoder": {"hidden": 128, "batch_size": 8, "updates_per_epoch": 3},
        "denoiser": {
            "channels": [32],
            "blocks": [1],
            "condition_dim": 128,
            "action_encoder": {
                "token_dim": 64, "latents": 4, "latent_dim": 64, "depth": 1, "cross_heads": 4,
                "cross_head_dim": 16, "heads": 2, "head_dim": 32, "feed_forward_multiplier": 2,
            },
            "batch_size": 8,
            "updates_per_epoch": 3,
        },
        "reward_model": {
            "dim": 64, "layers": 2, "heads": 2, "action_layers": 1, "action_heads": 2, "action_head_dim": 32,
            "feed_forward_multiplier": 1, "batch_size": 8, "updates_per_epoch": 3,
        },
        "behavior": {
            "horizon": 3, "rollouts": 8, "policy_updates_per_epoch": 2,
            "actor_hidden": [128, 128], "critic_hidden": [128, 128],
        },
        "schedule": COLLECTION | {"first_epoch_update_factor": 1},
    },
    "mamba": {
        "replay_capacity": 1000,
        "model": {
            "hidden": 16, "embedding": 16, "recurrent": 16, "categoricals": 4, "classes": 4,
            "attention": {"layers": 1, "heads": 2, "feed_forward": 16},
            "sequence_length": 5, "batch_size": 4, "updates_per_epoch": 2,
        },
        "behavior": {
            "horizon": 3, "policy_updates_per_epoch": 2, "actor_hidden": [16], "critic_hidden": 16,
            "critic_attention": {"heads": 2, "feed_forward": 16}, "ppo_epochs": 2, "minibatch_size": 50,
        },
        "schedule": COLLECTION,
    },
    "marie": {
        "replay_capacity": 1000,
        "tokenizer": {
            "tokens": 2, "codebook_size": 8, "codebook_dim": 4, "hidden": 16,
            "batch_size": 8, "updates_per_epoch": 2,
        },
        "world_model": {
            "dim": 16, "layers": 1, "heads": 2, "action_bins": 8, "batch_size": 4, "updates_per_epoch": 2,
            "aggregation": {"layers": 1, "heads": 2, "head_dim": 8, "feed_forward_multiplier": 1},
        },
        "behavior": {
            "horizon": 3, "rollouts": 8, "rollout_chunk": 4, "policy_updates_per_epoch": 2, "ppo_epochs": 2,
            "actor_hidden": [16], "critic_dim": 16, "critic_heads": 2, "critic_feed_forward": 16,
            "critic_hidden": [16],
        },
        "schedule": COLLECTION,
    },
    "mappo": ON_POLICY,
    "happo": ON_POLICY,
    "hasac": {
        "rollout_threads": 2, "warmup_steps": 40, "train_interval": 5, "hidden_sizes": [16, 16],
        "replay_capacity": 1000, "batch_size": 8,
    },
}  # fmt: skip
"""Toy sizes by algorithm; a variant keeps its own differences."""


def measurable_methods() -> list[str]:
    """The methods of our own code and of HARL's wheel, without other checkouts' programs."""
    return [method.name for method in method_summaries(CONFIG) if method.engine != "checkout"]


def method_cell(
    method: str, sizes: str, *, task: str | None = None, seed: int = 1, compute: str | None = None
) -> CellConfig:
    """A cell of the method at the paper's or toy sizes; `compute` overrides its preset.

    Raises:
        UserError: there is no such method or task, it is another checkout's program, or it has no presets.
    """
    key = CellKey(task or TASKS[sizes], method, seed)
    values = plain_grid([key.task], [method], [seed], CONFIG).resolve(key).model_dump(mode="json")
    if values["engine"] == "checkout":
        known = ", ".join(measurable_methods())
        raise UserError(
            f"Method {method} is another checkout's program; the methods that can be timed are {known}."
        )
    if compute and "compute" not in values["parameters"]:
        raise UserError(f"Method {method} has no presets of computing: it runs HARL's code.")
    small = {"task": TOY_TASK, "parameters": TOY[values["parameters"]["algorithm"]]} if sizes == "toy" else {}
    preset = {"parameters": {"compute": compute}} if compute else {}
    return validate(CellConfig, merge(values, small, preset), f"{sizes} sizes of {method}")


def learning_at_once(config: CellConfig) -> CellConfig:
    """The same cell with every part learning in the first epoch as much as in any other."""
    schedule = config.parameters.model_dump().get("schedule", {})
    firsts = {name: 1 for name in schedule if name.startswith("first_")}
    return validate(
        CellConfig,
        merge(config.model_dump(mode="json"), {"parameters": {"schedule": firsts} if firsts else {}}),
        "timed cell",
    )
