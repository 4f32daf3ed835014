"""The 1-D U-Net over time, its scales and shifts computed block by block."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Float
from torch import Tensor

from dima.config import GROUP_CHANNELS
from dima.world_model.unet import ResidualBlock, UNet

Modulations = Iterator[tuple[Tensor, Tensor]]
"""Weight and bias of the linear layer of every norm, in the order in which the norms are met."""


def unet(
    net: UNet, signal: Float[Tensor, "batch channels time"], condition: Float[Tensor, "batch condition"]
) -> Float[Tensor, "batch channels time"]:
    """Down with a skip of every level's input and every block, through the middle, and up over the skips."""
    down, middle, up = groups_of_blocks(net)
    modulations = linear_layers(net, [block for group in [*down, middle, *up] for block in group])
    skips = []
    for level, blocks in enumerate(down):
        if level > 0:
            signal = net.shrink[level - 1](signal)
        skips.append(signal)
        for block in blocks:
            signal = residual_block(block, signal, condition, modulations)
            skips.append(signal)
    for block in middle:
        signal = residual_block(block, signal, condition, modulations)
    for level, blocks in enumerate(up):
        if level > 0:
            signal = net.grow[level - 1](signal)
        for block in blocks:
            signal = residual_block(block, torch.cat([signal, skips.pop()], dim=1), condition, modulations)
    return signal


def groups_of_blocks(
    net: UNet,
) -> tuple[list[list[ResidualBlock]], list[ResidualBlock], list[list[ResidualBlock]]]:
    """The blocks of the levels on the way down, of the middle, and of the levels on the way up."""
    return [list(group) for group in net.down], list(net.middle), [list(group) for group in net.up]  # type: ignore[arg-type, return-value]


def linear_layers(net: UNet, blocks: list[ResidualBlock]) -> Modulations:
    """The rows of the one stored matrix that belong to each norm.

    A scale and a shift for each of its channels.
    """
    widths = [
        2 * channels for block in blocks for channels in (block.first.in_channels, block.first.out_channels)
    ]
    return zip(net.modulation.weight.split(widths), net.modulation.bias.split(widths), strict=True)


def residual_block(
    block: ResidualBlock,
    signal: Float[Tensor, "batch channels time"],
    condition: Float[Tensor, "batch condition"],
    modulations: Modulations,
) -> Float[Tensor, "batch out time"]:
    """x + conv(SiLU(AdaGN(conv(SiLU(AdaGN(x))))))."""
    hidden = block.first(F.silu(adaptive_group_norm(signal, condition, *next(modulations))))
    hidden = block.second(F.silu(adaptive_group_norm(hidden, condition, *next(modulations))))
    return block.shortcut(signal) + hidden


def adaptive_group_norm(
    signal: Float[Tensor, "batch channels time"],
    condition: Float[Tensor, "batch condition"],
    weight: Float[Tensor, "2*channels condition"],
    bias: Float[Tensor, " 2*channels"],
) -> Float[Tensor, "batch channels time"]:
    """GroupNorm(x) (1 + scale) + shift with [scale, shift] = W c + b and max(1, channels // 32) groups."""
    scale, shift = F.linear(condition, weight, bias)[:, :, None].chunk(2, dim=1)
    return F.group_norm(signal, max(1, signal.shape[1] // GROUP_CHANNELS)) * (1 + scale) + shift
