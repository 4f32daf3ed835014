"""The critic with attention over agents, and the acting policy (docs/baselines.md#marie-behaviour)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dima.baselines.marie.aggregation import sinusoidal_code
from dima.baselines.marie.tokenizer import Tokenizer
from dima.behavior.networks import Actor, orthogonal
from dima.config import MarieBehaviorConfig


class AttentionCritic(nn.Module):
    """One value for each agent from what all agents observe.

    LayerNorm, Linear and ReLU, plus a fixed code of the agent's number; one pre-norm layer of attention over
    the agents with a feed-forward of ReLU; ReLU; an MLP with LayerNorm on its input and after each hidden
    layer. 152,871 parameters on HalfCheetah-2x3, as the release's. No dropout, and torch's own initial
    weights in the attention: our choices, as no source names any.

    Args:
        agents: N.
        observation_dim: O of one agent.
        config: sizes.
    """

    code: Tensor

    def __init__(self, agents: int, observation_dim: int, config: MarieBehaviorConfig) -> None:
        super().__init__()
        dim, gain = config.critic_dim, math.sqrt(2)
        self.embed = nn.Sequential(
            nn.LayerNorm(observation_dim), orthogonal(nn.Linear(observation_dim, dim), gain), nn.ReLU()
        )
        code = sinusoidal_code(agents, dim) if config.critic_agent_code else torch.zeros(agents, dim)
        self.register_buffer("code", code, persistent=False)
        self.attention = nn.TransformerEncoderLayer(
            dim,
            config.critic_heads,
            config.critic_feed_forward,
            dropout=0.0,
            batch_first=True,
            norm_first=True,
        )
        self.mlp = _mlp(dim, config.critic_hidden, nn.LayerNorm if config.critic_layer_norm else nn.Identity)

    def forward(
        self, observations: Float[Tensor, "*batch agents observation"]
    ) -> Float[Tensor, "*batch agents"]:
        """Values, in normalised units."""
        tokens = self.embed(observations) + self.code
        mixed = self.attention(tokens.flatten(0, -3)).relu()
        return self.mlp(mixed.view(tokens.shape))[..., 0]


def _mlp(inputs: int, hidden: Sequence[int], norm: Callable[[int], nn.Module]) -> nn.Sequential:
    """The norm, [Linear, ReLU, norm] for each hidden size, then Linear to one value; weights orthogonal."""
    layers = [norm(inputs)]
    for before, after in itertools.pairwise([inputs, *hidden]):
        layers += [orthogonal(nn.Linear(before, after), math.sqrt(2)), nn.ReLU(), norm(after)]
    return nn.Sequential(*layers, orthogonal(nn.Linear([inputs, *hidden][-1], 1), 1.0))


class ReconstructingActor(nn.Module):
    """The actor after the tokenizer: it acts on reconstructed observations, as in imagination."""

    def __init__(self, tokenizer: Tokenizer, actor: Actor) -> None:
        super().__init__()
        self.tokenizer, self.actor = tokenizer, actor

    def forward(self, observations: Float[Tensor, "*batch observation"]) -> torch.distributions.Normal:
        """The distribution of the action."""
        return self.actor(self.tokenizer(observations))

    def acting(self) -> list[Tensor]:
        """Everything that the action depends on: all weights, and the codebook."""
        return [*self.parameters(), self.tokenizer.codebook]
