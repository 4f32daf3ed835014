"""Perceptrons, attention over agents and the critic of MAMBA (docs/baselines.md#mamba-world-model)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dima.config import AgentAttentionConfig, Compute
from dima.world_model.precision import reduced_precision

LONGEST_PERIOD = 10000.0


def mlp(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """[Linear, ReLU] for each hidden size, then Linear."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise([inputs, *hidden]):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear([inputs, *hidden][-1], outputs))


def xavier(network: nn.Module) -> None:
    """Initialise every weight matrix Xavier uniform; biases and norms keep torch's values."""
    for parameter in network.parameters():
        if parameter.ndim >= 2:
            nn.init.xavier_uniform_(parameter)


def agent_code(agents: int, dim: int) -> Float[Tensor, "agents dim"]:
    """Sinusoidal code of the agent's number: sine and cosine of i / 10000^(2k / dim), concatenated."""
    rates = torch.exp(-math.log(LONGEST_PERIOD) * torch.arange(0, dim, 2) / dim)
    angles = torch.arange(agents)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class AgentAttention(nn.Module):
    """Post-norm transformer encoder over the agents of one world, with a fixed code of each agent.

    Args:
        agents: N.
        dim: size of an agent's token.
        config: layers, heads, width of the feed-forward layers, dropout.
        compute: preset of computing; with `fast` the encoder runs in bfloat16.
    """

    code: Tensor

    def __init__(self, agents: int, dim: int, config: AgentAttentionConfig, compute: Compute) -> None:
        super().__init__()
        self.compute: Compute = compute
        self.register_buffer("code", agent_code(agents, dim), persistent=False)
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    dim, config.heads, config.feed_forward, config.dropout, batch_first=True
                )
                for _ in range(config.layers)
            )
        )

    def forward(self, tokens: Float[Tensor, "*batch agents dim"]) -> Float[Tensor, "*batch agents dim"]:
        """Every agent's token after attention to the others of its world."""
        worlds = (tokens + self.code).reshape(-1, *self.code.shape)
        with reduced_precision(self.compute, tokens.device):
            mixed = self.layers(worlds)
        return mixed.to(tokens.dtype).view(tokens.shape)


class AgentCritic(nn.Module):
    """One value for each agent from the features of all.

    Linear, attention over the agents, perceptron with one hidden layer.

    With features of 1280 numbers and a width of 256 these are 789,761 parameters, the layers of
    docs/baselines.md#mamba-behaviour:

        Linear 1280 to 256, ReLU                                    327,936
        attention: queries, keys, values 197,376; output 65,792     263,168
        two LayerNorms                                                1,024
        feed-forward, twice Linear 256 to 256                       131,584
        ReLU, Linear 256 to 256, ReLU, Linear 256 to 1               66,049

    Upstream was measured to have 1.25 million. The 0.46 million more are, to that precision, a perceptron
    1280-256-256-256-1 (459,777), for which the way from features to values that is described has no place. If
    that is what they are, no value depends on them.

    Args:
        agents: N.
        feature_dim: size of one agent's feature.
        hidden: width of all layers.
        attention: over the agents.
        compute: preset of computing.
    """

    def __init__(
        self, agents: int, feature_dim: int, hidden: int, attention: AgentAttentionConfig, compute: Compute
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(feature_dim, hidden)
        self.attention = AgentAttention(agents, hidden, attention, compute)
        self.value = mlp(hidden, [hidden], 1)
        xavier(self)

    def forward(self, features: Float[Tensor, "*batch agents feature"]) -> Float[Tensor, "*batch agents"]:
        """The values."""
        return self.value(self.attention(self.embed(features).relu()).relu())[..., 0]
