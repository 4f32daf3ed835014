"""The denoiser's network in Triton: weights packed once, then one kernel a call and two for the gradients.

Kernels are imported where they are launched, since Triton is not installed everywhere. Rows of a batch are
independent through the whole network, norms included: a program takes a tile of rows through all layers,
where layer by layer some 200 kernels do almost no arithmetic. `UNet` remains the reference and the path of
everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dima.kernels.tables import BACKWARD_FIELDS, FORWARD_FIELDS, TIMES, WEIGHT_FIELDS, WIDTH
from dima.world_model.fused.layout import Layout
from dima.world_model.fused.tables import ForwardTables, backward_tables, forward_tables, weight_table

WEIGHT_ROWS = 16
"""Rows at a time in the sum of a weight's gradient."""


@dataclass(frozen=True)
class Launch:
    """How the kernels are launched: it changes speed and rounding, nothing else.

    With the defaults two programs share a multiprocessor of an H100, and most steps take their products in
    one round. Not timed yet: `python -m benchmarks.fused_unet` compares launches.

    Attributes:
        rows: of a tile: 4, 8 or 16.
        warps: of a program.
        terms: products taken as one.
        stages: of the pipeline of these rounds as Triton counts them: with 5 a round is copied while the one
            before is multiplied, with 1 nothing is copied ahead.
        precision: of products of float32: TF32 or float32.
        weights: type in which weights, and what they are multiplied with, are read. float16 has TF32's 10
            bits, but no range for gradients.
    """

    rows: int = 8
    warps: int = 8
    terms: int = 4
    stages: int = 2
    precision: Literal["tf32", "ieee"] = "tf32"
    weights: torch.dtype = torch.float32


class Packed(NamedTuple):
    """Weights as the kernels read them.

    Attributes:
        flat: all of them, float32; gradients flow through it.
        matrices: those of products, in the type of `Launch.weights`.
    """

    flat: Float[Tensor, " packed"]
    matrices: Tensor


class Kept(NamedTuple):
    """Scratch memory of the programs of one call."""

    raws: Float[Tensor, "programs raws m 64"]
    sides: Float[Tensor, "programs sides m 64"]


class FusedNetwork:
    """read, U-Net and write of a denoiser with 64 channels and 4 times.

    Args:
        layout: of the network.
        launch: of the kernels.
    """

    def __init__(self, layout: Layout, launch: Launch | None = None) -> None:
        self.layout = layout
        self.launch = launch or Launch()
        self._device = layout.parameters[0].device
        self._state_dim = layout.sizes[-1]
        self._packed, self._uses = layout.packed.to(self._device), layout.uses.to(self._device)
        self._forward = {keep: self._put(forward_tables(layout, keep=keep)) for keep in (False, True)}

    def pack(self) -> Packed:
        """Pack the present weights, once for all calls between two updates."""
        flat = _Pack.apply(
            torch.cat([parameter.flatten() for parameter in self.layout.parameters]), self._packed, self._uses
        )
        return Packed(flat, flat.detach()[: sum(self.layout.sizes[:3])].to(self.launch.weights))

    def prepared(self) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """`Denoiser.network` for many calls with the same weights."""
        packed = self.pack()
        return lambda scaled_noisy, history, modulation: self(
            torch.cat([history, scaled_noisy[:, None]], dim=1), modulation, packed
        )

    def __call__(
        self,
        signal: Float[Tensor, "batch 4 state"],
        modulation: Float[Tensor, "batch modulation"],
        packed: Packed,
    ) -> Float[Tensor, "batch state"]:
        """F of `Denoiser.network`: three past states and the scaled noisy one to the output at the last time.

        Args:
            signal: oldest first.
            modulation: of all blocks, from `UNet.modulate`.
            packed: from `pack`.
        """
        if modulation.shape[1] != self.layout.modulated:
            raise ValueError(
                f"the modulation has {modulation.shape[1]} numbers a row, the network reads "
                f"{self.layout.modulated}"
            )
        modulation = modulation if modulation.stride(1) == 1 else modulation.contiguous()
        if torch.is_grad_enabled():
            return _Network.apply(signal.contiguous(), modulation, packed.flat, packed.matrices, self)
        return self.run(signal.contiguous(), modulation, packed, keep=False)[0]

    def run(
        self,
        signal: Float[Tensor, "batch 4 state"],
        modulation: Float[Tensor, "batch modulation"],
        packed: Packed,
        *,
        keep: bool,
    ) -> tuple[Float[Tensor, "batch state"], Kept]:
        """The output, and the scratch memory; with `keep` it holds what the gradients need."""
        from dima.kernels import forward

        kernel: Any = forward.forward_kernel
        tables = self._forward[keep]
        programs, tile = self._programs(len(signal)), self.launch.rows * TIMES
        raws = signal.new_empty(programs, tables.raws, tile, WIDTH)
        sides = signal.new_empty(programs, tables.sides, tile, WIDTH, dtype=self.launch.weights)
        out = signal.new_empty(len(signal), self._state_dim)
        kernel[(programs,)](
            signal, modulation, modulation.stride(0), *self._matrices(packed), *self._vectors(packed.flat),
            tables.steps, tables.terms,
            raws, sides, out, len(signal), self._state_dim, len(tables.steps), tables.raws, tables.sides,
            tables.last,
            FIELDS=FORWARD_FIELDS, KEEP=keep, **self._options,
        )  # fmt: skip
        return out, Kept(raws, sides)

    def gradients(
        self,
        d_out: Float[Tensor, "batch state"],
        signal: Float[Tensor, "batch 4 state"],
        modulation: Float[Tensor, "batch modulation"],
        packed: Packed,
        kept: Kept,
        *,
        of_signal: bool,
    ) -> tuple[Tensor | None, Float[Tensor, "batch modulation"], Float[Tensor, " packed"]]:
        """Of the signal (None unless `of_signal`), the modulation and the packed weights."""
        from dima.kernels import backward, weights

        backward_kernel: Any = backward.backward_kernel
        weight_kernel: Any = weights.weight_kernel
        steps, terms, turned = self._backward
        rows, (programs, raws) = len(signal), kept.raws.shape[:2]
        gradients, d_modulation = (
            torch.empty_like(kept.raws),
            torch.empty_like(modulation, memory_format=torch.contiguous_format),
        )
        d_signal = torch.empty_like(signal) if of_signal else None
        d_affine, d_flat = kept.raws.new_empty(programs, 2, WIDTH), torch.empty_like(packed.flat)
        squares, read, write = self._matrices(packed)
        biases, affine, write_bias = self._vectors(packed.flat)
        backward_kernel[(programs,)](
            d_out, modulation, modulation.stride(0), squares[turned], read, write, affine, steps, terms,
            kept.raws, gradients,
            d_affine if d_signal is None else d_signal, d_modulation, d_affine,
            rows, self._state_dim, d_modulation.stride(0), len(steps), raws,
            FIELDS=BACKWARD_FIELDS, SIGNAL=of_signal, **self._options,
        )  # fmt: skip
        block = self._options["BLOCK"]
        jobs = len(self._weights) + 5 * -(-self._state_dim // block) + 1
        weight_kernel[(jobs,)](
            signal, d_out, self._weights, kept.sides, gradients, d_affine, *self._parts(d_flat),
            rows, self._state_dim, programs, len(self._weights), kept.sides.shape[1], raws,
            FIELDS=WEIGHT_FIELDS, TILE=WEIGHT_ROWS, ROWS=self.launch.rows, BLOCK=block,
            PRECISION=self.launch.precision,
            num_warps=4, num_stages=2,
        )  # fmt: skip
        return d_signal, d_modulation, d_flat

    def _programs(self, rows: int) -> int:
        return -(-rows // self.launch.rows)

    @cached_property
    def _options(self) -> Mapping[str, Any]:
        """Options of the forward and the backward kernel.

        num_stages is 1: a step must not be read ahead of what it depends on.
        """
        launch = self.launch
        return {
            "ROWS": launch.rows, "BLOCK": 32 if self._state_dim <= 32 else 64, "TERMS": launch.terms,
            "STAGES": launch.stages,
            "PRECISION": launch.precision, "num_warps": launch.warps, "num_stages": 1,
        }  # fmt: skip

    @cached_property
    def _weights(self) -> Int[Tensor, "terms fields"]:
        return weight_table(self.layout).to(self._device)

    @cached_property
    def _backward(self) -> tuple[Tensor, Tensor, Tensor]:
        """The backward table, its terms, and where in the packed squares their transposed weights are."""
        steps, terms, weights = backward_tables(self.layout)
        squares = torch.arange(self.layout.sizes[0]).view(-1, WIDTH, WIDTH)
        return (
            steps.to(self._device),
            terms.to(self._device),
            squares[weights].transpose(1, 2).flatten().to(self._device),
        )

    def _matrices(self, packed: Packed) -> tuple[Tensor, ...]:
        """Squares, read, write."""
        return packed.matrices.split(self.layout.sizes[:3])

    def _vectors(self, flat: Float[Tensor, " packed"]) -> tuple[Tensor, ...]:
        """Biases, weight and bias of the last norm, bias of `write`."""
        return self._parts(flat)[3:]

    def _parts(self, flat: Float[Tensor, " packed"]) -> tuple[Tensor, ...]:
        return flat.split(self.layout.sizes)

    def _put(self, tables: ForwardTables) -> ForwardTables:
        return tables._replace(steps=tables.steps.to(self._device), terms=tables.terms.to(self._device))


class _Pack(torch.autograd.Function):
    """numbers[packed]; `uses` says where each number went, so that the backward pass is a gather too."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, packed: Tensor, uses: Tensor) -> Tensor:
        ctx.save_for_backward(uses)
        return numbers[packed]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (uses,) = ctx.saved_tensors
        return torch.cat([gradients[0], gradients[0].new_zeros(1)])[uses], None, None


class _Network(torch.autograd.Function):
    """`FusedNetwork.run` with gradients of the signal, the modulation and the packed weights."""

    @staticmethod
    def forward(
        ctx: Any, signal: Tensor, modulation: Tensor, flat: Tensor, matrices: Tensor, network: FusedNetwork
    ) -> Tensor:
        out, kept = network.run(signal, modulation, Packed(flat, matrices), keep=True)
        ctx.save_for_backward(signal, modulation, flat, matrices, *kept)
        ctx.network = network
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        signal, modulation, flat, matrices, raws, sides = ctx.saved_tensors
        of_signal = ctx.needs_input_grad[0]
        found = ctx.network.gradients(
            gradients[0].contiguous(),
            signal,
            modulation,
            Packed(flat, matrices),
            Kept(raws, sides),
            of_signal=of_signal,
        )
        return *found, None, None
