"""The denoiser's network as a list of steps: sums of products of [rows, 64] by [64, 64] weights.

A convolution over time is a sum over its taps: output[t] += input[t + tap] @ weight[tap]. With 64 channels
everywhere, every layer but the first and the last is such a sum of equal products, and a concatenation along
channels is a longer sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from dima.kernels.tables import TIMES, WIDTH
from dima.world_model.unet import ResidualBlock, UNet

Convolution = nn.Conv1d | nn.ConvTranspose1d


class Source(NamedTuple):
    """What products read: the output of a step, raw, or normalised, modulated and activated.

    Attributes:
        step: whose output it is.
        factor: where its 64 factors begin in the modulation; -1: it is raw.
        shift: where its 64 shifts begin; -1: it is raw.
    """

    step: int
    factor: int = -1
    shift: int = -1


class Term(NamedTuple):
    """One product: output[t] += source[(stride t + offset) / spread] @ weight, for valid times of the source.

    Attributes:
        source: what is read.
        length: its times.
        stride: of a convolution.
        offset: of the tap.
        spread: stride of a transposed convolution, else 1.
        weight: positions of the weights, in by out.
    """

    source: Source
    length: int
    stride: int
    offset: int
    spread: int
    weight: Int[Tensor, "64 64"]

    def reaches(self, time: int) -> bool:
        """Whether output[time] reads a time that the source has."""
        numerator = self.stride * time + self.offset
        return numerator % self.spread == 0 and 0 <= numerator // self.spread < self.length


@dataclass
class Step:
    """Convolutions whose outputs are added, also to the output of step `residual` (-1: none)."""

    length: int
    residual: int = -1
    terms: list[Term] = field(default_factory=list)
    biases: list[int] = field(default_factory=list)


class Layout:
    """Steps of a denoiser's network, and where each of its weights is once packed.

    Step 0 is `read`, a product of another shape; after the last step come the output's norm and `write`.
    Positions are places in the concatenation of `parameters`.

    Args:
        read: states to channels.
        unet: of 64 channels at every level.
        write_norm: before the output.
        write: channels to states.

    Attributes:
        steps: in the order in which they are taken.
        modulated: numbers of a row's modulation.
        parameters: that are packed.
        packed: for each packed number its position: [64, 64] weights in the order of terms, `read` as [3,
            state, 64], `write` as [2, 64, state], biases as [biases, 64], weight and bias of the norm, bias
            of `write`.
        sizes: of these parts.
        uses: for each position where it is in `packed`; len(packed) for a weight that no output reads.
    """

    def __init__(self, read: nn.Conv1d, unet: UNet, write_norm: nn.GroupNorm, write: nn.Conv1d) -> None:
        self.steps: list[Step] = []
        self.parameters: list[Tensor] = []
        self.modulated = 0
        self._positions = 0
        self._biases: list[Tensor] = []
        first, last = self._take(read.weight), self._take(write.weight)
        self.steps.append(Step(TIMES, biases=[self._add_bias(read)]))
        self._trace(unet)
        parts = [
            torch.stack([term.weight for _, term in self.terms()]),
            first.permute(2, 1, 0),
            last.permute(2, 1, 0)[:2],  # only the last time is read, where the third tap is outside
            torch.stack(self._biases),
            torch.stack([self._take(write_norm.weight), self._take(write_norm.bias)]),
            self._take(write.bias),
        ]
        self.sizes = [part.numel() for part in parts]
        self.packed = torch.cat([part.flatten() for part in parts])
        self.uses = torch.full((self._positions,), len(self.packed))
        self.uses[self.packed] = torch.arange(len(self.packed))

    def terms(self) -> Iterator[tuple[int, Term]]:
        """Every term in order, with the number of its step."""
        return ((number, term) for number, step in enumerate(self.steps) for term in step.terms)

    def sources(self, step: int) -> list[Source]:
        """What products read of a step's output: itself, then up to two activations of it."""
        found = dict.fromkeys(term.source for _, term in self.terms() if term.source.step == step)
        return sorted(found, key=lambda source: source.factor >= 0)

    def _take(self, parameter: Tensor | None) -> Int[Tensor, "*shape"]:
        """Positions of a parameter's numbers, in its shape."""
        if parameter is None:
            raise ValueError("a layer of the denoiser's network has no bias")
        self.parameters.append(parameter)
        self._positions += parameter.numel()
        return torch.arange(self._positions - parameter.numel(), self._positions).view(parameter.shape)

    def _add_bias(self, layer: Convolution) -> int:
        self._biases.append(self._take(layer.bias))
        return len(self._biases) - 1

    def _trace(self, unet: UNet) -> None:
        """The steps of `UNet.forward`, whose order of levels, blocks and skip connections this follows."""
        output, length, skips = 0, TIMES, []
        for level, group in enumerate(unet.down):
            if level:
                output, length = self._convolve(unet.shrink[level - 1], [Source(output)], length), length // 2
            skips.append(output)
            for block in _blocks(group):
                output = self._block(block, [output], length)
                skips.append(output)
        for block in _blocks(unet.middle):
            output = self._block(block, [output], length)
        for level, group in enumerate(unet.up):
            if level:
                output, length = self._convolve(unet.grow[level - 1], [Source(output)], length), length * 2
            for block in _blocks(group):
                output = self._block(block, [output, skips.pop()], length)

    def _block(self, block: ResidualBlock, inputs: Sequence[int], length: int) -> int:
        """Two steps; the second adds the short cut. Returns its number."""
        middle = self._convolve(block.first, self._activate(inputs), length)
        output = self._convolve(block.second, self._activate([middle]), length)
        if isinstance(block.shortcut, nn.Conv1d):
            self._add(block.shortcut, [Source(step) for step in inputs], length)
        else:
            self.steps[output].residual = inputs[0]
        return output

    def _activate(self, steps: Sequence[int]) -> list[Source]:
        """Concatenated outputs with the next factors and shifts; a group of 32 channels is in one of them."""
        factor, shift = self.modulated, self.modulated + WIDTH * len(steps)
        self.modulated = shift + WIDTH * len(steps)
        return [
            Source(step, factor + WIDTH * index, shift + WIDTH * index) for index, step in enumerate(steps)
        ]

    def _convolve(self, layer: nn.Module, sources: Sequence[Source], length: int) -> int:
        """A new step with this convolution. Returns its number."""
        layer = cast(Convolution, layer)
        (stride,), (padding,), (taps,) = layer.stride, layer.padding, layer.kernel_size
        transposed = isinstance(layer, nn.ConvTranspose1d)
        self.steps.append(
            Step(length * stride if transposed else (length + 2 * int(padding) - taps) // stride + 1)
        )
        self._add(layer, sources, length)
        return len(self.steps) - 1

    def _add(self, layer: Convolution, sources: Sequence[Source], length: int) -> None:
        """Add a convolution of concatenated sources to the last step, without taps that are never inside."""
        step, transposed = self.steps[-1], isinstance(layer, nn.ConvTranspose1d)
        (stride,), (padding,), (taps,) = layer.stride, layer.padding, layer.kernel_size
        weight = self._take(layer.weight)
        weight = weight if transposed else weight.transpose(0, 1)  # [in, out, tap]
        for source, part in zip(sources, weight.split(WIDTH), strict=True):
            for tap in range(taps):
                reading = (1, int(padding) - tap, stride) if transposed else (stride, tap - int(padding), 1)
                term = Term(source, length, *reading, part[:, :, tap])
                if any(map(term.reaches, range(step.length))):
                    step.terms.append(term)
        step.biases.append(self._add_bias(layer))


def _blocks(group: nn.Module) -> list[ResidualBlock]:
    return [block for block in group.children() if isinstance(block, ResidualBlock)]
