"""The critic that attends over agents, and the policy as it acts outside the world model (baselines.md 2.6)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dima.baselines.marie.tokenizer import Tokenizer
from dima.behavior.networks import Actor, orthogonal
from dima.config import MarieBehaviorConfig
from dima.world_model.reward_model import TransformerBlock


class AttentionCritic(nn.Module):
    """One value for each agent from what all agents observe: LayerNorm, Linear, ReLU, attention over the agents, MLP.

    Args:
        observation_dim: O of one agent.
        config: sizes.
    """

    def __init__(self, observation_dim: int, config: MarieBehaviorConfig) -> None:
        super().__init__()
        gain = math.sqrt(2)
        self.embed = nn.Sequential(
            nn.LayerNorm(observation_dim), orthogonal(nn.Linear(observation_dim, config.critic_dim), gain), nn.ReLU()
        )
        self.attention = TransformerBlock(config.critic_dim, config.critic_heads, 0.0)
        layers: list[nn.Module] = []
        before = config.critic_dim
        for hidden in config.critic_hidden:
            layers += [orthogonal(nn.Linear(before, hidden), gain), nn.ReLU()]
            before = hidden
        self.mlp = nn.Sequential(*layers, orthogonal(nn.Linear(before, 1), 1.0))

    def forward(self, observations: Float[Tensor, "*batch agents observation"]) -> Float[Tensor, "*batch agents"]:
        """Values, in normalised units."""
        embedded = self.embed(observations)
        agents = embedded.flatten(0, -3)
        everyone = agents.new_ones(len(agents), agents.shape[1], agents.shape[1], dtype=torch.bool)
        return self.mlp(self.attention(agents, everyone).view(embedded.shape))[..., 0]


class ReconstructingActor(nn.Module):
    """The actor with the tokenizer before it: it acts on what its observation is reconstructed as, as it does in imagination."""

    def __init__(self, tokenizer: Tokenizer, actor: Actor) -> None:
        super().__init__()
        self.tokenizer, self.actor = tokenizer, actor

    def forward(self, observations: Float[Tensor, "*batch observation"]) -> torch.distributions.Normal:
        """The distribution of the action."""
        return self.actor(self.tokenizer(observations))

    def acting(self) -> list[Tensor]:
        """Everything that the action depends on: all weights, and the codebook."""
        return [*self.parameters(), self.tokenizer.codebook]
