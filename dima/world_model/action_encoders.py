"""Which action encoder a configuration names."""

from __future__ import annotations

from dima.config import Compute, DenoiserConfig
from dima.world_model.action_encoder import ActionEncoder
from dima.world_model.set_encoder import SetEncoder


def make_action_encoder(
    agents: int, action_dim: int, config: DenoiserConfig, compute: Compute
) -> ActionEncoder | SetEncoder:
    """The encoder of joint actions of n steps, for N agents with A numbers each."""
    kind = ActionEncoder if config.action_encoder.kind == "perceiver" else SetEncoder
    return kind(
        agents, action_dim, config.conditioning_states, config.condition_dim, config.action_encoder, compute
    )
