"""Dropout that on a CPU costs a third of torch's, which draws one random number by itself for every number
dropped.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Float
from torch import Tensor, nn

LEVELS = 2**16
"""Of a number's random bits: a probability on a CPU is a multiple of one over them."""


def dropout(values: Float[Tensor, "*shape"], probability: float, training: bool) -> Float[Tensor, "*shape"]:
    """Each value is 0 with a probability, or else divided by the probability of the other; in training alone.

    On a CPU a draw of 64 bits from torch's global generator decides about four values, in the order of their
    places in the shape; compiled code draws in its own way.
    """
    if not training or probability == 0:
        return values
    if values.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(values, probability)
    draws = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[: values.numel()].view(values.shape)
    dropped = round(probability * LEVELS)
    kept = bits >= dropped - LEVELS // 2
    return values * kept.to(values.dtype).mul_(LEVELS / (LEVELS - dropped))


class Dropout(nn.Dropout):
    """`dropout` as a layer."""

    def forward(self, input: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """In training alone."""
        return dropout(input, self.p, self.training)
