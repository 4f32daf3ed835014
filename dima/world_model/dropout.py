"""Dropout at a third of the cost of torch's on a CPU, which draws one random number for each value."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Float
from torch import Tensor, nn

LEVELS = 2**16
"""Of a number's random bits: a probability on a CPU is a multiple of one over them."""


def dropout(values: Float[Tensor, "*shape"], probability: float, training: bool) -> Float[Tensor, "*shape"]:
    """In training, set each value to 0 with `probability` and divide the others by 1 - probability.

    On a CPU each 64-bit draw of torch's global generator decides four values, in the order of their places;
    compiled code draws in its own way.
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
        """Identity outside training."""
        return dropout(input, self.p, self.training)
