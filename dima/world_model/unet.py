"""The denoiser's 1-D U-Net over TIME (past states and the noisy next one); the state is the channel axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Float
from torch import Tensor, nn

from dima.config import GROUP_CHANNELS
from dima.world_model.dense import Affine, Product

Modulation = tuple[Tensor, Tensor]
"""What a norm's channels are multiplied by, and what is added to them."""


class ResidualBlock(nn.Module):
    """x + conv(SiLU(AdaGN(conv(SiLU(AdaGN(x)))))), with a 1x1 convolution where the channels change.

    The second convolution and the shortcut are one product.

    Args:
        channels_in: of the input.
        channels_out: of the output.
        width: of the features' order (see `dima.world_model.dense`).
    """

    def __init__(self, channels_in: int, channels_out: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.norm_channels = (channels_in, channels_out)
        self.first = nn.Conv1d(channels_in, channels_out, 3, padding=1)
        self.second = nn.Conv1d(channels_out, channels_out, 3, padding=1)
        self.shortcut = (
            nn.Conv1d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()
        )
        nn.init.zeros_(self.second.weight)

    def products(self, length: int) -> list[Product]:
        """The two products of `forward`, for an input of `length` times."""
        last = (self.second,) if isinstance(self.shortcut, nn.Identity) else (self.second, self.shortcut)
        return [Product((self.first,), length, self.width), Product(last, length, self.width)]

    def forward(
        self,
        features: Float[Tensor, "batch features"],
        modulation: Sequence[Modulation],
        products: Sequence[Affine],
    ) -> Float[Tensor, "batch out"]:
        """Each norm has its factor and shift, each of `products` its matrix and bias."""
        hidden = F.linear(F.silu(adaptive_group_norm(features, *modulation[0], self.width)), *products[0])
        hidden = F.silu(adaptive_group_norm(hidden, *modulation[1], self.width))
        if isinstance(self.shortcut, nn.Identity):
            return features + F.linear(hidden, *products[1])
        return F.linear(torch.cat([hidden, features], dim=1), *products[1])


def group_count(channels: int) -> int:
    """Into how many groups channels are normalised."""
    return max(1, channels // GROUP_CHANNELS)


def adaptive_group_norm(
    features: Float[Tensor, "batch features"],
    factor: Float[Tensor, "batch channels"],
    shift: Float[Tensor, "batch channels"],
    width: int,
) -> Float[Tensor, "batch features"]:
    """GroupNorm without weights, max(1, C // 32) groups, then x factor + shift."""
    batch, channels = factor.shape
    grouped = features.view(batch, group_count(channels), -1)
    normalized = F.layer_norm(grouped, grouped.shape[2:]).view(batch, channels // width, -1, width)
    return torch.addcmul(
        shift.unflatten(1, (-1, 1, width)), normalized, factor.unflatten(1, (-1, 1, width))
    ).flatten(1)


class UNet(nn.Module):
    """Down path, middle and up path with skip connections; every block is modulated by the condition.

    One matrix product, `modulate`, gives all factors and shifts, as the condition is the same for every
    block.

    Args:
        channels: of each level; the time axis is halved between levels.
        blocks: residual blocks of each level on the way down (one more on the way up).
        condition_dim: size of the condition.

    Attributes:
        width: of the features' order (see `dima.world_model.dense`); it divides every normalised group and
            every signal.
    """

    is_factor: Tensor

    def __init__(self, channels: Sequence[int], blocks: Sequence[int], condition_dim: int) -> None:
        super().__init__()
        together = [a + b for a, b in itertools.product(channels, repeat=2)]
        self.width = math.gcd(*(count // group_count(count) for count in (*channels, *together)))
        before = [channels[0], *channels[:-1]]
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for channel, previous, count in zip(channels, before, blocks, strict=True):
            self.down.append(
                nn.ModuleList(
                    self._block(previous if index == 0 else channel, channel) for index in range(count)
                )
            )
            skipped = [previous] + [channel] * count
            outputs = [channel] * count + [previous]
            inputs = [channel, *outputs[:-1]]
            ups = (self._block(a + b, c) for a, b, c in zip(inputs, reversed(skipped), outputs, strict=True))
            self.up.insert(0, nn.ModuleList(ups))
        self.shrink = nn.ModuleList(
            nn.Conv1d(channel, channel, 3, stride=2, padding=1) for channel in channels[:-1]
        )
        self.grow = nn.ModuleList(
            nn.ConvTranspose1d(channel, channel, 4, stride=2, padding=1)
            for channel in reversed(channels[:-1])
        )
        self.middle = nn.ModuleList(self._block(channels[-1], channels[-1]) for _ in range(2))
        groups = (*self.down, self.middle, *self.up)
        self._norms = [count for group in groups for block in _blocks(group) for count in block.norm_channels]
        self.modulation = nn.Linear(condition_dim, 2 * sum(self._norms))
        is_factor = [torch.full((count,), value) for count in self._norms for value in (1.0, 0.0)]
        self.register_buffer("is_factor", torch.cat(is_factor), persistent=False)

    def _block(self, channels_in: int, channels_out: int) -> ResidualBlock:
        return ResidualBlock(channels_in, channels_out, self.width)

    def modulate(self, condition: Float[Tensor, "*batch condition"]) -> Float[Tensor, "*batch modulation"]:
        """Factors and shifts of all blocks; a factor is 1 + scale, and the 1 is added to the bias, once."""
        return F.linear(condition, self.modulation.weight, self.modulation.bias + self.is_factor)

    def products(self, length: int) -> list[Product]:
        """The products of `forward`, for a signal of `length` times, a multiple of 2^(levels - 1)."""
        found: list[Product] = []
        for level, group in enumerate(self.down):
            if level > 0:
                found.append(Product((self.shrink[level - 1],), length, self.width))  # type: ignore[arg-type] - a Conv1d
                length //= 2
            found += _products(group, length)
        found += _products(self.middle, length)
        for level, group in enumerate(self.up):
            if level > 0:
                found.append(Product((self.grow[level - 1],), length, self.width))  # type: ignore[arg-type] - a ConvTranspose1d
                length *= 2
            found += _products(group, length)
        return found

    def forward(
        self,
        features: Float[Tensor, "batch features"],
        modulation: Float[Tensor, "batch modulation"],
        products: Sequence[Affine],
    ) -> Float[Tensor, "batch features"]:
        """Features of `channels[0]` channels in and out, with the matrices and biases of `self.products`."""
        norms, layers, skips = self._factors_and_shifts(modulation), iter(products), []
        for level, group in enumerate(self.down):
            features = features if level == 0 else F.linear(features, *next(layers))
            skips.append(features)
            for block in _blocks(group):
                features = block(features, (next(norms), next(norms)), (next(layers), next(layers)))
                skips.append(features)
        for block in _blocks(self.middle):
            features = block(features, (next(norms), next(norms)), (next(layers), next(layers)))
        for level, group in enumerate(self.up):
            features = features if level == 0 else F.linear(features, *next(layers))
            for block in _blocks(group):
                features = torch.cat([features, skips.pop()], dim=1)
                features = block(features, (next(norms), next(norms)), (next(layers), next(layers)))
        return features

    def _factors_and_shifts(self, modulation: Float[Tensor, "batch modulation"]) -> Iterator[Modulation]:
        parts = modulation.split([count for count in self._norms for _ in range(2)], dim=1)
        return zip(parts[::2], parts[1::2], strict=True)


def _blocks(group: nn.Module) -> list[ResidualBlock]:
    return list(group)  # type: ignore[call-overload] - a ModuleList of them


def _products(group: nn.Module, length: int) -> list[Product]:
    return [product for block in _blocks(group) for product in block.products(length)]
