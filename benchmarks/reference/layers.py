"""Layers that several parts share."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Bool, Float
from torch import Tensor, nn

from dima.world_model.attention import AgentActionTokens, GatedBlock, GatedFeedForward, SelfAttention
from dima.world_model.dropout import dropout as drop

EVERY = slice(None)


def mlp(
    layers: nn.Sequential, inputs: Float[Tensor, "*batch inputs"], activation: Callable[[Tensor], Tensor]
) -> Float[Tensor, "*batch out"]:
    """The linear layers of `layers` with `activation` between them."""
    *hidden, last = (layer for layer in layers if isinstance(layer, nn.Linear))
    for linear in hidden:
        inputs = activation(linear(inputs))
    return last(inputs)


def attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch heads keys dim"],
    value: Float[Tensor, "batch heads keys dim"],
    visible: Bool[Tensor, "batch queries_or_one keys"] | None = None,
    dropout: float = 0.0,
    read: slice = EVERY,
) -> Float[Tensor, "batch queries heads*dim"]:
    """softmax(q k / sqrt d) v with scores of minus infinity where a key is not visible.

    The heads side by side.
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if visible is not None:
        scores = scores.masked_fill(~visible[:, None], -math.inf)
    weights = dropped(scores.softmax(dim=-1), dropout, read)
    return (weights @ value).transpose(1, 2).flatten(2)


def split_heads(
    tokens: Float[Tensor, "batch time dim"], heads: int
) -> Float[Tensor, "batch heads time dim/heads"]:
    """Cut every token into `heads` parts."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def self_attention(
    layer: SelfAttention,
    tokens: Float[Tensor, "batch time dim"],
    visible: Bool[Tensor, "batch time time"] | None = None,
    dropout: float = 0.0,
    read: slice = EVERY,
) -> Float[Tensor, "batch time dim"]:
    """Every token asks all visible tokens; `dropout` of the attention weights and of the result."""
    query, key, value = (
        split_heads(part, layer.heads) for part in layer.query_key_value(tokens).chunk(3, dim=-1)
    )
    return dropped(layer.output(attention(query, key, value, visible, dropout, read)), dropout, read)


def dropped(
    values: Float[Tensor, "*batch time dim"], dropout: float, read: slice = EVERY
) -> Float[Tensor, "*batch time dim"]:
    """Dropout of the tokens that anything will `read`.

    `dima` does not compute the others, and draws no numbers for them.
    """
    if read is EVERY:
        return drop(values, dropout, training=True)
    kept = values.clone()
    kept[..., read, :] = drop(values[..., read, :], dropout, training=True)
    return kept


def geglu(layer: GatedFeedForward, tokens: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
    """W_2 (a GELU(b)) with [a, b] = W_1 x."""
    value, gate = layer.widen(tokens).chunk(2, dim=-1)
    return layer.narrow(value * F.gelu(gate))


def gated_block(
    block: GatedBlock, tokens: Float[Tensor, "batch time dim"]
) -> Float[Tensor, "batch time dim"]:
    """x + Attention(LN x), then x + GEGLU(LN x)."""
    tokens = tokens + self_attention(block.attention, block.attention_norm(tokens))
    return tokens + geglu(block.feed_forward, block.feed_forward_norm(tokens))


def action_tokens(
    layer: AgentActionTokens, actions: Float[Tensor, "*batch agents action"]
) -> Float[Tensor, "*batch agents dim"]:
    """MLP(a_i) + e_i for every agent i."""
    return mlp(layer.project, actions, F.silu) + layer.agent
