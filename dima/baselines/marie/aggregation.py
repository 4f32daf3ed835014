"""A Perceiver over what all agents see and do in one step (docs/baselines.md#marie-aggregation)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Float
from torch import Tensor, nn

from dima.config import AggregationConfig
from dima.world_model.attention import GatedBlock, GatedFeedForward


class Aggregation(nn.Module):
    """N learned latents look once at the tokens of all agents, then at one another; latent i goes to agent i.

    Args:
        agents: N.
        dim: of tokens and latents.
        config: layers, heads, dropout.
    """

    code: Tensor

    def __init__(self, agents: int, dim: int, config: AggregationConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.heads, self.dropout = config.heads, config.dropout
        self.latents = nn.Parameter(torch.randn(agents, dim))
        self.register_buffer("code", sinusoidal_code(agents, dim), persistent=False)
        self.latent_norm, self.token_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query = nn.Linear(dim, inner, bias=config.attention_bias)
        self.key_value = nn.Linear(dim, 2 * inner, bias=config.attention_bias)
        self.output = nn.Linear(inner, dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = GatedFeedForward(dim, config.feed_forward_multiplier, config.dropout)
        sizes = (dim, config.heads, config.head_dim, config.feed_forward_multiplier)
        self.blocks = nn.Sequential(
            *(GatedBlock(*sizes, config.dropout, bias=config.attention_bias) for _ in range(config.layers))
        )

    def forward(self, tokens: Float[Tensor, "batch agents tokens dim"]) -> Float[Tensor, "batch agents dim"]:
        """One vector for each agent from the embedded observation and action tokens of all agents."""
        latents = self.latents + self._attend((tokens + self.code[:, None]).flatten(1, 2))
        latents = latents + self.feed_forward(self.feed_forward_norm(latents))
        return self.blocks(latents)

    def _attend(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch agents dim"]:
        batch, count, _ = tokens.shape
        query = self.query(self.latent_norm(self.latents)).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        key, value = (
            self.key_value(self.token_norm(tokens))
            .view(batch, count, 2, self.heads, -1)
            .permute(2, 0, 3, 1, 4)
        )
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query.expand(batch, -1, -1, -1), key, value, dropout_p=dropout)
        return F.dropout(self.output(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training)


def sinusoidal_code(count: int, dim: int) -> Float[Tensor, "count dim"]:
    """Row n: sin(n / 10000^(2i / dim)) at 2i, the cosine of the same at 2i + 1 (Vaswani et al. 2017)."""
    angles = torch.arange(count)[:, None] * 10000.0 ** (-torch.arange(0, dim, 2) / dim)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
