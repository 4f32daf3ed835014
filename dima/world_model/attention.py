"""Pre-norm attention blocks of the action encoder, the reward model and the baselines' world models."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Bool, Float
from torch import Tensor, nn

from dima.world_model.dropout import dropout

FEW = {"cpu": 2, "cuda": 6}
"""The most keys of which scores are sums, by the kind of device."""
MODERATE = 64
"""The most keys whose attention on a CPU is products of matrices in bfloat16, and where attention weights are
dropped."""
SMALL = 16
"""The most keys of which it is products in training, whatever the precision."""


class KeyValueCache:
    """Keys and values of the tokens that a layer has seen, so that only new tokens are computed.

    Args:
        capacity: the most tokens it will hold.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._filled = 0
        self._kept: tuple[Tensor, Tensor] | None = None

    def extend(
        self, key: Float[Tensor, "batch heads new dim"], value: Float[Tensor, "batch heads new dim"]
    ) -> tuple[Tensor, Tensor]:
        """Append the next tokens; returns keys and values [batch, heads, tokens, dim] of all so far."""
        if self._kept is None:
            shape = (*key.shape[:2], self._capacity, key.shape[3])
            self._kept = key.new_empty(shape), value.new_empty(shape)
        first, self._filled = self._filled, self._filled + key.shape[2]
        for kept, new in zip(self._kept, (key, value), strict=True):
            kept[:, :, first : self._filled] = new
        return self._kept[0][:, :, : self._filled], self._kept[1][:, :, : self._filled]


def attend(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch heads keys dim"],
    value: Float[Tensor, "batch heads keys dim"],
    allowed: Bool[Tensor, "#batch 1 queries keys"] | None = None,
    dropped: float = 0.0,
    *,
    causal: bool = False,
) -> Float[Tensor, "batch heads queries dim"]:
    """softmax(q k / sqrt d) v over the `allowed` keys (`causal`: key <= query), with dropout of the softmax.

    Fused kernels pay for many keys. For a few, scores are sums that a compiler fuses with other pointwise
    work. On a CPU the fused kernel is slow in bfloat16, has no dropout, and its backward pass is slow for few
    keys; matrix products are used there.
    """
    keys = key.shape[2]
    few = keys <= FEW.get(key.device.type, 0)
    most = MODERATE if key.dtype == torch.bfloat16 or dropped > 0 else SMALL if torch.is_grad_enabled() else 0
    if not few and (key.device.type != "cpu" or keys > most):
        return F.scaled_dot_product_attention(query, key, value, allowed, dropped, is_causal=causal)
    if causal:
        allowed = torch.ones(1, 1, query.shape[2], keys, dtype=torch.bool, device=key.device).tril()
    return (attend_by_sums if few else attend_by_products)(query, key, value, allowed, dropped)


def attend_by_sums(
    query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None, dropped: float
) -> Tensor:
    """`attend` without matrix products; uncompiled it holds queries x keys x dim numbers."""
    scores = (query[:, :, :, None] * key[:, :, None]).sum(dim=-1)
    return (_weights(scores, query.shape[3], allowed, dropped)[..., None] * value[:, :, None]).sum(dim=3)


def attend_by_products(
    query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None, dropped: float
) -> Tensor:
    """`attend` as one product for the scores and one with the values."""
    return _weights(query @ key.transpose(2, 3), query.shape[3], allowed, dropped) @ value


def _weights(
    scores: Float[Tensor, "batch heads queries keys"],
    dim: int,
    allowed: Bool[Tensor, "#batch 1 queries keys"] | None,
    probability: float,
) -> Float[Tensor, "batch heads queries keys"]:
    scores = scores * dim**-0.5
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    return dropout(scores.softmax(dim=-1), probability, training=True)


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
        allowed: Bool[Tensor, "#batch asked keys"] | None = None,
        *,
        causal: bool = False,
        cache: KeyValueCache | None = None,
        asked: slice | None = None,
    ) -> Float[Tensor, "batch asked dim"]:
        """Attend; `allowed[b, i, j]`: token i may look at token j (`causal`: all j <= i, without a mask).

        With a `cache` the tokens follow those in it, and j counts from the first of them. Only the tokens
        `asked` give a result, and i counts those; None: all.
        """
        query, key, value = self._projected(tokens, asked)
        if cache is not None:
            key, value = cache.extend(key, value)
        mask, dropped = None if allowed is None else allowed[:, None], self.dropout if self.training else 0.0
        mixed = attend(query, key, value, mask, dropped, causal=causal)
        return dropout(self.output(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training)

    def _projected(
        self, tokens: Float[Tensor, "batch time dim"], asked: slice | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of the tokens `asked`, keys and values of all, [batch, heads, time, dim] each."""
        layer, parts = (
            self.query_key_value,
            (-1, self.heads, self.query_key_value.out_features // (3 * self.heads)),
        )
        if asked is None:
            query, key, value = layer(tokens).unflatten(2, parts).unbind(2)
        else:
            sizes = [layer.out_features // 3, 2 * layer.out_features // 3]
            weight, weights = layer.weight.split(sizes)
            bias, biases = (None, None) if layer.bias is None else layer.bias.split(sizes)
            (query,) = F.linear(tokens[:, asked], weight, bias).unflatten(2, parts).unbind(2)
            key, value = F.linear(tokens, weights, biases).unflatten(2, parts).unbind(2)
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)


class GatedFeedForward(nn.Module):
    """GEGLU: Linear(dim, 2 m dim), one half times the GELU of the other, dropout, Linear(m dim, dim)."""

    def __init__(self, dim: int, multiplier: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.widen = nn.Linear(dim, 2 * multiplier * dim)
        self.narrow = nn.Linear(multiplier * dim, dim)

    def forward(self, tokens: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Apply the same two layers to every token."""
        return self.narrow(self.widened(tokens))

    def widened(self, tokens: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch wide"]:
        """The input of `narrow`."""
        value, gate = self.widen(tokens).chunk(2, dim=-1)
        return dropout(value * F.gelu(gate), self.dropout, self.training)


class GatedBlock(nn.Module):
    """x + Attention(LN x), then x + GEGLU(LN x); with `bias` queries, keys and values have biases."""

    def __init__(
        self, dim: int, heads: int, head_dim: int, multiplier: int, dropout: float = 0.0, *, bias: bool
    ) -> None:
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

    def mean(self, tokens: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch dim"]:
        """The mean of the outputs of all tokens; `narrow` is linear, so it is applied once, to the mean."""
        tokens = tokens + self.attention(self.attention_norm(tokens))
        wide = self.feed_forward.widened(self.feed_forward_norm(tokens))
        return tokens.mean(dim=1) + self.feed_forward.narrow(wide.mean(dim=1))


def mean_after(blocks: nn.Sequential, tokens: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch dim"]:
    """The mean over all tokens after the gated `blocks`, of which there may be none."""
    for block in blocks:
        if block is blocks[-1]:
            return block.mean(tokens)  # type: ignore[operator] - a GatedBlock
        tokens = block(tokens)
    return tokens.mean(dim=1)


class AgentActionTokens(nn.Module):
    """One token for each agent's action: MLP(A to dim, SiLU, dim) plus a learned embedding of the agent."""

    def __init__(self, agents: int, action_dim: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(action_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.agent = nn.Parameter(torch.randn(agents, dim))

    def forward(self, actions: Float[Tensor, "*batch agents action"]) -> Float[Tensor, "*batch agents dim"]:
        """Actions to tokens."""
        return self.project(actions) + self.agent
