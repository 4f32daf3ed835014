"""Convolutions over a few times as matrix products: one product a layer instead of many small kernels.

Features of C channels at T times are one vector in the order [C / width, T, width]. Channels that are
normalised together are then consecutive, signals are concatenated along the vector, and a channel's scale
applies to runs of `width` numbers. The matrix of a layer is block-Toeplitz: each weight of the convolution at
up to T places, and zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Convolution = nn.Conv1d | nn.ConvTranspose1d
Affine = tuple[Tensor, Tensor]
"""Matrix [outputs, inputs] and bias [outputs] of a product."""


class Product(NamedTuple):
    """Convolutions, each of its own input, whose outputs are added: one product with the inputs concatenated.

    Attributes:
        layers: the convolutions.
        length: times in each input.
        width: of the inputs' order.
    """

    layers: tuple[Convolution, ...]
    length: int
    width: int


class DenseConvolutions(nn.Module):
    """The matrices of all products, gathered at once from the weights of their convolutions.

    The convolutions are not submodules and the tables are not saved, so parameters and checkpoints are
    unchanged.

    Args:
        products: in the order in which they are taken.
        width: of the outputs' order.
    """

    weight_sources: Tensor
    weight_uses: Tensor
    bias_sources: Tensor
    bias_uses: Tensor

    def __init__(self, products: Sequence[Product], width: int) -> None:
        super().__init__()
        self._layers = [layer for product in products for layer in product.layers]
        self._shapes: list[tuple[int, int]] = []
        weights, biases = (
            sum(layer.weight.numel() for layer in self._layers),
            sum(layer.out_channels for layer in self._layers),
        )
        matrices, constants, first_weight, first_bias = [], [], 0, 0
        for product in products:
            parts, rows = [], []
            for layer in product.layers:
                taps = _taps(layer, product.length)
                numbers = first_weight + torch.arange(layer.weight.numel()).view(layer.weight.shape)
                parts.append(_matrix(numbers, taps, layer, (width, product.width), nothing=weights))
                channels = first_bias + torch.arange(layer.out_channels).view(-1, 1, width)
                rows.append(channels.expand(-1, len(taps), -1).flatten())
                first_weight, first_bias = (
                    first_weight + layer.weight.numel(),
                    first_bias + layer.out_channels,
                )
            matrices.append(torch.cat(parts, dim=1))
            constants.append(torch.stack(rows))
            self._shapes.append((matrices[-1].shape[0], matrices[-1].shape[1]))
        most = max(len(rows) for rows in constants)
        padded = [
            torch.cat([rows, rows.new_full((most - len(rows), rows.shape[1]), biases)]) for rows in constants
        ]
        self._keep("weight", torch.cat([matrix.flatten() for matrix in matrices])[None], weights)
        self._keep("bias", torch.cat(padded, dim=1), biases)

    def _keep(self, name: str, sources: Int[Tensor, "rows targets"], count: int) -> None:
        """Both tables, with a last target that nothing goes to."""
        sources = torch.cat([sources, sources.new_full((len(sources), 1), count)], dim=1)
        self.register_buffer(f"{name}_sources", sources.int(), persistent=False)
        self.register_buffer(f"{name}_uses", _inverse(sources, count).int(), persistent=False)

    def forward(self) -> list[Affine]:
        """Matrix and bias of every product from the present weights."""
        zero = self._layers[0].weight.new_zeros(1)
        weights = torch.cat([*(layer.weight.flatten() for layer in self._layers), zero])
        biases = torch.cat([*(layer.bias for layer in self._layers), zero])  # type: ignore[list-item] - every layer has one
        matrices = _gather(weights, self.weight_sources, self.weight_uses).split(
            [*(rows * columns for rows, columns in self._shapes), 1]
        )
        constants = _gather(biases, self.bias_sources, self.bias_uses).split(
            [*(rows for rows, _ in self._shapes), 1]
        )
        return [
            (matrix.view(shape), bias)
            for matrix, shape, bias in zip(matrices, self._shapes, constants, strict=False)
        ]


class _Gather(torch.autograd.Function):
    """Sums of the values that each target names; the gradient of a value sums those of its targets.

    Both directions read a table, so no two places add to one number: the same bits every time, also on a GPU.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, sources: Tensor, uses: Tensor) -> Tensor:
        ctx.save_for_backward(uses)
        return _summed(values, sources)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (uses,) = ctx.saved_tensors
        return _summed(gradients[0], uses), None, None


def _gather(
    values: Float[Tensor, " values"], sources: Int[Tensor, "rows targets"], uses: Int[Tensor, "uses values"]
) -> Float[Tensor, " targets"]:
    return _Gather.apply(values, sources, uses)  # type: ignore[no-untyped-call, no-any-return] - torch has no types for it


def _summed(
    values: Float[Tensor, " values"], table: Int[Tensor, "rows targets"]
) -> Float[Tensor, " targets"]:
    found = values.index_select(0, table.flatten())
    return found if len(table) == 1 else found.view(table.shape).sum(dim=0)


def _taps(layer: Convolution, length: int) -> Int[Tensor, "out in"]:
    """The layer's tap for each output and input time; below 0 or beyond the last: none."""
    stride, padding, size = (int(setting[0]) for setting in (layer.stride, layer.padding, layer.kernel_size))
    inputs = torch.arange(length)
    if isinstance(layer, nn.ConvTranspose1d):
        return torch.arange((length - 1) * stride - 2 * padding + size)[:, None] + padding - stride * inputs
    return inputs + padding - stride * torch.arange((length + 2 * padding - size) // stride + 1)[:, None]


def _matrix(
    numbers: Int[Tensor, "_ _ taps"],
    taps: Int[Tensor, "out in"],
    layer: Convolution,
    widths: tuple[int, int],
    nothing: int,
) -> Int[Tensor, "outputs inputs"]:
    """The origin of each entry of a layer's matrix: the number of a weight, or `nothing`."""
    if isinstance(layer, nn.ConvTranspose1d):  # its weights are [in, out, taps]
        numbers = numbers.transpose(0, 1)
    inside = (taps >= 0) & (taps < numbers.shape[2])
    entries = torch.where(inside, numbers[:, :, taps.clamp(0, numbers.shape[2] - 1)], nothing)
    blocked = entries.unflatten(1, (-1, widths[1])).unflatten(
        0, (-1, widths[0])
    )  # [blocks, width, blocks, width, out time, in time]
    return blocked.permute(0, 4, 1, 2, 5, 3).flatten(3).flatten(0, 2)


def _inverse(sources: Int[Tensor, "rows targets"], count: int) -> Int[Tensor, "uses values"]:
    """The targets of each of `count` values and of the zero after them, padded with the last target."""
    values, order = sources.flatten().sort(stable=True)
    real = values < count
    values, targets = values[real], order[real] % sources.shape[1]
    rank = torch.arange(len(values)) - torch.searchsorted(values, torch.arange(count))[values]
    uses = targets.new_full((int(rank.max()) + 1, count + 1), sources.shape[1] - 1)
    uses[rank, values] = targets
    return uses
