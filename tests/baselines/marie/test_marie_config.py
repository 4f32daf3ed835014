"""The release's values, and refusals."""

from __future__ import annotations

from operator import attrgetter

import pytest
from conftest import CONFIG

from dima.config.grid import CellKey, load_grid
from dima.errors import UserError

RELEASE = {
    "replay_capacity": 250_000,
    "tokenizer.tokens": 16,
    "tokenizer.codebook_size": 512,
    "tokenizer.codebook_dim": 64,
    "tokenizer.codebook_decay": 0.8,
    "tokenizer.commitment_coefficient": 10.0,
    "tokenizer.optimizer.learning_rate": 3e-4,
    "tokenizer.optimizer.gradient_clip": 10.0,
    "tokenizer.optimizer.decayed": "all",
    "tokenizer.batch_size": 256,
    "tokenizer.updates_per_epoch": 100,
    "world_model.dim": 256,
    "world_model.layers": 10,
    "world_model.heads": 4,
    "world_model.dropout": 0.1,
    "world_model.initial_std": 0.02,
    "world_model.action_bins": 256,
    "world_model.aggregation.layers": 2,
    "world_model.aggregation.heads": 8,
    "world_model.aggregation.head_dim": 64,
    "world_model.aggregation.attention_bias": True,
    "world_model.token_head_layers": 2,
    "world_model.reward_bins.count": 128,
    "world_model.reward_bins.bound": 3.0,
    "world_model.reward_bins.sigma": 0.75,
    "world_model.optimizer.learning_rate": 1e-4,
    "world_model.optimizer.weight_decay": 0.01,
    "world_model.optimizer.gradient_clip": 10.0,
    "world_model.optimizer.decayed": "weights",
    "world_model.batch_size": 40,
    "world_model.updates_per_epoch": 200,
    "behavior.horizon": 15,
    "behavior.rollouts": 600,
    "behavior.policy_updates_per_epoch": 5,
    "behavior.discount": 0.99,
    "behavior.return_lambda": 0.95,
    "behavior.ppo_epochs": 5,
    "behavior.clip": 0.1,
    "behavior.entropy_coefficient": 0.001,
    "behavior.learning_rate": 5e-4,
    "behavior.adam_epsilon": 1e-5,
    "behavior.gradient_clip": 10.0,
    "behavior.huber_delta": 10.0,
    "behavior.critic_dim": 128,
    "behavior.critic_heads": 8,
    "behavior.critic_feed_forward": 128,
    "behavior.critic_agent_code": True,
    "behavior.critic_hidden": (128, 128, 128),
    "behavior.critic_layer_norm": True,
    "schedule.min_new_steps": 200,
    "schedule.warmup_steps": 500,
    "schedule.first_world_model_epoch": 10,
    "schedule.first_policy_epoch": 20,
}


@pytest.mark.parametrize(("path", "expected"), RELEASE.items(), ids=str)
def test_marie_has_the_releases_values(path, expected):
    """docs/baselines.md#marie-schedule, on a MAMuJoCo task of the paper's grid."""
    cell = load_grid("paper", CONFIG).resolve(CellKey("halfcheetah-2x3", "marie", 1))
    assert attrgetter(path)(cell.parameters) == expected
    assert (cell.engine, cell.compute) == ("native", "reference")


def test_on_the_hands_it_saves_memory_and_discounts_as_the_paper_does():
    parameters = load_grid("paper", CONFIG).resolve(CellKey("pen", "marie", 1)).parameters
    assert (parameters.compute, parameters.world_model.activation_checkpointing) == ("fast", True)
    assert (parameters.behavior.rollout_chunk, parameters.behavior.discount) == (150, 0.95)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"world_model": {"heads": 3}}, "dim must be a multiple of heads"),
        ({"behavior": {"critic_heads": 3}}, "critic_dim must be a multiple of critic_heads"),
        ({"schedule": {"warmup_steps": 3}}, "schedule.warmup_steps must be at least behavior.horizon"),
        ({"replay_capacity": 40}, "replay_capacity must be at least schedule.warmup_steps"),
        ({"world_model": {"layer": 3}}, "Unknown configuration key 'parameters.world_model.layer'"),
    ],
)
def test_what_contradicts_itself_is_refused(make_cell, change, message):
    with pytest.raises(UserError, match=message):
        make_cell(**change)
