"""Pre-norm attention blocks shared by the action encoder, the reward model and the baselines' world models."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Bool, Float
from torch import Tensor, nn


class KeyValueCache:
    """Keys and values of the tokens that one layer has seen, so that new tokens are all that costs anything.

    Args:
        capacity: the most tokens it will hold.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._filled = 0
        self._kept: tuple[Tensor, Tensor] | None = None

    def extend(self, key: Float[Tensor, "batch heads new dim"], value: Float[Tensor, "batch heads new dim"]) -> tuple[Tensor, Tensor]:
        """Take in the next tokens; keys and values [batch, heads, tokens, dim] of all so far."""
        if self._kept is None:
            shape = (*key.shape[:2], self._capacity, key.shape[3])
            self._kept = key.new_empty(shape), value.new_empty(shape)
        first, self._filled = self._filled, self._filled + key.shape[2]
        for kept, new in zip(self._kept, (key, value), strict=True):
            kept[:, :, first : self._filled] = new
        return self._kept[0][:, :, : self._filled], self._kept[1][:, :, : self._filled]


class SelfAttention(nn.Module):
    """Multi-head self-attention with heads of a chosen size.

    Args:
        dim: size of a token.
        heads: number of heads.
        head_dim: size of each head.
        dropout: of attention weights and of the output.
        bias: whether queries, keys and values have biases.
    """

    def __init__(self, dim: int, heads: int, head_dim: int, dropout: float = 0.0, *, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query_key_value = nn.Linear(dim, 3 * heads * head_dim, bias=bias)
        self.output = nn.Linear(heads * head_dim, dim)

    def forward(
        self,
        tokens: Float[Tensor, "batch time dim"],
        allowed: Bool[Tensor, "batch time keys"] | None = None,
        *,
        causal: bool = False,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "batch time dim"]:
        """`allowed[b, i, j]`: token i may look at token j; `causal` says the same for all j <= i without a mask.

        With a `cache` the tokens follow those in it, and j counts from the first of them.
        """
        batch, time, _ = tokens.shape
        query, key, value = self.query_key_value(tokens).view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if cache is not None:
            key, value = cache.extend(key, value)
        dropout = self.dropout if self.training else 0.0
        mask = None if allowed is None else allowed[:, None]
        mixed = F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=causal)
        return F.dropout(self.output(mixed.transpose(1, 2).reshape(batch, time, -1)), self.dropout, self.training)


class GatedFeedForward(nn.Module):
    """GEGLU: Linear(dim to 2 m dim), one half gated by the GELU of the other, dropout, Linear(m dim to dim)."""

    def __init__(self, dim: int, multiplier: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.widen = nn.Linear(dim, 2 * multiplier * dim)
        self.narrow = nn.Linear(multiplier * dim, dim)

    def forward(self, tokens: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Apply the same two layers to every token."""
        value, gate = self.widen(tokens).chunk(2, dim=-1)
        return self.narrow(F.dropout(value * F.gelu(gate), self.dropout, self.training))


class GatedBlock(nn.Module):
    """x + Attention(LN x), then x + GEGLU(LN x); with `bias` queries, keys and values have biases."""

    def __init__(self, dim: int, heads: int, head_dim: int, multiplier: int, dropout: float = 0.0, *, bias: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, heads, head_dim, dropout, bias=bias)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = GatedFeedForward(dim, multiplier, dropout)

    def forward(
        self, tokens: Float[Tensor, "batch time dim"], allowed: Bool[Tensor, "batch time time"] | None = None
    ) -> Float[Tensor, "batch time dim"]:
        """One block over all tokens, or where `allowed` says so."""
        tokens = tokens + self.attention(self.attention_norm(tokens), allowed)
        return tokens + self.feed_forward(self.feed_forward_norm(tokens))


class AgentActionTokens(nn.Module):
    """One token for each agent's action: MLP(A to dim, SiLU, dim) plus a learned embedding of the agent."""

    def __init__(self, agents: int, action_dim: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(action_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.agent = nn.Parameter(torch.randn(agents, dim))

    def forward(self, actions: Float[Tensor, "*batch agents action"]) -> Float[Tensor, "*batch agents dim"]:
        """Actions to tokens."""
        return self.project(actions) + self.agent
