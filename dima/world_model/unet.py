"""The 1-D U-Net of the denoiser. It convolves over TIME (past states and the noisy next one); the state is the channel axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Float
from torch import Tensor, nn

from dima.config import GROUP_CHANNELS


class ResidualBlock(nn.Module):
    """x + conv(SiLU(AdaGN(conv(SiLU(AdaGN(x)))))), with a 1x1 convolution on the short cut where the channels change."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm_channels = (channels_in, channels_out)
        self.first = nn.Conv1d(channels_in, channels_out, 3, padding=1)
        self.second = nn.Conv1d(channels_out, channels_out, 3, padding=1)
        self.shortcut = nn.Conv1d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()
        nn.init.zeros_(self.second.weight)

    def forward(self, signal: Float[Tensor, "batch channels time"], modulation: Sequence[Tensor]) -> Float[Tensor, "batch out time"]:
        """`modulation`: [batch, 2 C] for each of the two norms: scale, then shift."""
        hidden = self.first(F.silu(adaptive_group_norm(signal, modulation[0])))
        hidden = self.second(F.silu(adaptive_group_norm(hidden, modulation[1])))
        return self.shortcut(signal) + hidden


def adaptive_group_norm(
    signal: Float[Tensor, "batch channels time"], modulation: Float[Tensor, "batch 2*channels"]
) -> Float[Tensor, "batch channels time"]:
    """GroupNorm without weights, max(1, C // 32) groups, then x (1 + scale) + shift."""
    scale, shift = modulation[..., None].chunk(2, dim=1)
    normalized = F.group_norm(signal, max(1, signal.shape[1] // GROUP_CHANNELS))
    return torch.addcmul(shift, normalized, 1 + scale)


class UNet(nn.Module):
    """Down path, middle and up path with skip connections; every block is modulated by the condition.

    All scales and shifts come from one matrix product, `modulate`, because the condition is the same for every block.

    Args:
        channels: of each level; the time axis is halved between levels.
        blocks: residual blocks of each level on the way down (one more on the way up).
        condition_dim: size of the condition.
    """

    def __init__(self, channels: Sequence[int], blocks: Sequence[int], condition_dim: int) -> None:
        super().__init__()
        before = [channels[0], *channels[:-1]]
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for width, previous, count in zip(channels, before, blocks, strict=True):
            self.down.append(nn.ModuleList(ResidualBlock(previous if index == 0 else width, width) for index in range(count)))
            skipped = [previous] + [width] * count
            outputs = [width] * count + [previous]
            inputs = [width, *outputs[:-1]]
            ups = (ResidualBlock(a + b, c) for a, b, c in zip(inputs, reversed(skipped), outputs, strict=True))
            self.up.insert(0, nn.ModuleList(ups))
        self.shrink = nn.ModuleList(nn.Conv1d(width, width, 3, stride=2, padding=1) for width in channels[:-1])
        self.grow = nn.ModuleList(nn.ConvTranspose1d(width, width, 4, stride=2, padding=1) for width in reversed(channels[:-1]))
        self.middle = nn.ModuleList(ResidualBlock(channels[-1], channels[-1]) for _ in range(2))
        self._widths = [2 * count for block in self._ordered_blocks() for count in block.norm_channels]
        self.modulation = nn.Linear(condition_dim, sum(self._widths))

    def _ordered_blocks(self) -> list[ResidualBlock]:
        groups = [*self.down, self.middle, *self.up]
        return [block for group in groups for block in group]  # type: ignore[union-attr] - ModuleLists of ResidualBlocks

    def modulate(self, condition: Float[Tensor, "*batch condition"]) -> Float[Tensor, "*batch modulation"]:
        """Scales and shifts of all blocks, for `forward`."""
        return self.modulation(condition)

    def forward(
        self, signal: Float[Tensor, "batch channels time"], modulation: Float[Tensor, "batch modulation"]
    ) -> Float[Tensor, "batch channels time"]:
        """Signal of `channels[0]` channels in and out; its length must be divisible by 2^(levels - 1)."""
        parts = iter(modulation.split(self._widths, dim=-1))
        skips: list[Tensor] = []
        for level, group in enumerate(self.down):
            signal = signal if level == 0 else self.shrink[level - 1](signal)
            skips.append(signal)
            for block in group:  # type: ignore[union-attr]
                signal = block(signal, (next(parts), next(parts)))
                skips.append(signal)
        for block in self.middle:
            signal = block(signal, (next(parts), next(parts)))
        for level, group in enumerate(self.up):
            signal = signal if level == 0 else self.grow[level - 1](signal)
            for block in group:  # type: ignore[union-attr]
                signal = block(torch.cat([signal, skips.pop()], dim=1), (next(parts), next(parts)))
        return signal
