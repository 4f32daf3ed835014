"""The state decoder: MLP, finite scalar quantisation, MLP (eq. 22; Mentzer et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Float
from torch import Tensor

from benchmarks.reference.layers import mlp
from dima.world_model.state_decoder import StateDecoder

BOUND = 1e-3
"""how far the bounded code may pass its outermost level"""


def decode(
    decoder: StateDecoder, states: Float[Tensor, "batch state"]
) -> Float[Tensor, "batch agents observation"]:
    """Joint observations from z-scored states, with the quantiser `fsq`."""
    levels = decoder.config.levels
    codes = mlp(decoder.encoder, states, F.gelu).unflatten(1, (-1, len(levels)))
    return mlp(decoder.decoder, quantize(codes, levels).flatten(1), F.gelu).unflatten(1, decoder.shape)


def quantize(
    codes: Float[Tensor, "batch tokens levels"], levels: Sequence[int]
) -> Float[Tensor, "batch tokens levels"]:
    """round(h tanh(z + s) - o) / floor(L / 2), the gradient that of the bounded code.

    O = 1/2 for an even number L of levels, else 0.
    """
    quantized = []
    for scalar, count in zip(codes.unbind(-1), levels, strict=True):
        half = (count - 1) * (1 + BOUND) / 2
        offset = 0.0 if count % 2 else 0.5
        bounded = (scalar + math.atanh(offset / half)).tanh() * half - offset
        quantized.append((bounded + (bounded.round() - bounded).detach()) / (count // 2))
    return torch.stack(quantized, dim=-1)


def state_decoder_loss(
    decoder: StateDecoder,
    states: Float[Tensor, "batch state"],
    observations: Float[Tensor, "batch agents observation"],
) -> Float[Tensor, ""]:
    """Mean absolute (release) or squared (eq. 22) error of the joint observation."""
    error = decode(decoder, states) - observations
    return error.abs().mean() if decoder.config.loss == "l1" else error.square().mean()
