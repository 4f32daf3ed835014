"""The denoiser's network as one kernel: a program takes a tile of rows through all layers.

A step reads what earlier steps of its program left in scratch memory, sums its products in registers,
normalises and activates there, and writes what later steps read. One barrier separates the writes of a step
from the reads of the next; programs never wait for one another.
"""

from __future__ import annotations

import triton
import triton.language as tl

from dima.kernels.tile import activated, factor_and_shift, load_slot, normalize, products, store_slot


@triton.jit
def read_states(
    signal, read, program, rows, state_dim, ROWS: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr
):  # fmt: skip
    """[M, 64]: the convolution of the states, BLOCK of their dimensions at a time."""
    m, c = tl.arange(0, ROWS * 4), tl.arange(0, 64)
    at, t = program * (ROWS * 4) + m, m % 4
    y = tl.zeros((ROWS * 4, 64), tl.float32)
    for first in range(0, state_dim, BLOCK):
        d = first + tl.arange(0, BLOCK)
        for tap in tl.static_range(3):
            there = ((at < rows * 4) & (t + tap >= 1) & (t + tap <= 4))[:, None] & (d < state_dim)[None, :]
            x = tl.load(signal + (at + tap - 1)[:, None] * state_dim + d[None, :], mask=there, other=0.0)
            v = tl.load(
                read + (tap * state_dim + d)[:, None] * 64 + c[None, :],
                mask=(d < state_dim)[:, None],
                other=0.0,
            )
            y = tl.dot(x.to(v.dtype), v, y, input_precision=PRECISION)
    return y


@triton.jit
def write_states(
    out, h, write, write_bias, program, rows, state_dim, ROWS: tl.constexpr, BLOCK: tl.constexpr,
    PRECISION: tl.constexpr
):  # fmt: skip
    """The last time of the last convolution of h [M, 64], which reads the last two times."""
    t, c, row = tl.arange(0, ROWS * 4) % 4, tl.arange(0, 64), program * ROWS + tl.arange(0, ROWS)
    for first in range(0, state_dim, BLOCK):
        d = first + tl.arange(0, BLOCK)
        y = tl.zeros((ROWS * 4, BLOCK), tl.float32)
        for tap in tl.static_range(2):
            v = tl.load(
                write + (tap * 64 + c)[:, None] * state_dim + d[None, :],
                mask=(d < state_dim)[None, :],
                other=0.0,
            )
            y = tl.dot(tl.where((t == tap + 2)[:, None], h, 0.0).to(v.dtype), v, y, input_precision=PRECISION)
        y = (
            tl.sum(tl.reshape(y, (ROWS, 4, BLOCK)), 1)
            + tl.load(write_bias + d, mask=d < state_dim, other=0.0)[None, :]
        )
        tl.store(
            out + row[:, None] * state_dim + d[None, :],
            y,
            mask=(row < rows)[:, None] & (d < state_dim)[None, :],
        )


@triton.jit
def start(step, raws, modulation, row_stride, biases, program, rows, ROWS: tl.constexpr):
    """What a step adds to its products and how it is modulated: bias, residual, factor, shift.

    The step before wrote none of it, so it may be read before the barrier.
    """
    first, second, c = tl.load(step + 3), tl.load(step + 4), tl.arange(0, 64)
    bias = tl.load(biases + first * 64 + c) + tl.load(
        biases + second * 64 + c, mask=second + 0 * c >= 0, other=0.0
    )
    factor, shift = factor_and_shift(
        modulation, row_stride, tl.load(step + 9), tl.load(step + 10), program, rows, ROWS
    )
    return bias[None, :], load_slot(raws, tl.load(step + 5), ROWS), factor, shift


@triton.jit
def finish(step, y, factor, shift, raws, sides, modulation, row_stride, program, rows, ROWS: tl.constexpr):
    """Store a step's output y [M, 64], and its activations, for later steps."""
    length, raw, side = tl.load(step + 2), tl.load(step + 6), tl.load(step + 7)
    activation, skip = tl.load(step + 8), tl.load(step + 11)
    if raw >= 0:
        store_slot(raws, raw, y, ROWS)
    if side >= 0:
        store_slot(sides, side, y, ROWS)
    if activation >= 0:
        normal, _ = normalize(y, length, ROWS)
        store_slot(sides, activation, activated(normal, factor, shift, ROWS), ROWS)
        if skip >= 0:
            factor, shift = factor_and_shift(
                modulation, row_stride, tl.load(step + 12), tl.load(step + 13), program, rows, ROWS
            )
            store_slot(sides, skip, activated(normal, factor, shift, ROWS), ROWS)


@triton.jit(do_not_specialize=["rows", "n_steps", "n_raws", "n_sides", "last"])
def forward_kernel(
    signal, modulation, row_stride, squares, read, write, biases, affine, write_bias, steps, terms, raws,
    sides, out,
    rows, state_dim, n_steps, n_raws, n_sides, last,
    FIELDS: tl.constexpr, KEEP: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
    TERMS: tl.constexpr, STAGES: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """signal [rows, 4, state_dim] -> out [rows, state_dim].

    Args:
        signal: three past states and the scaled noisy one.
        modulation: factors and shifts of all norms, `row_stride` numbers a row.
        row_stride: of the modulation.
        squares: [terms, 64, 64].
        read: [3, state_dim, 64].
        write: [2, 64, state_dim].
        biases: [biases, 64].
        affine: weight and bias of the last norm, [2, 64].
        write_bias: [state_dim].
        steps: [n_steps, FIELDS], see `tables.FORWARD_FIELDS`.
        terms: encoded.
        raws: scratch memory of outputs, [programs, n_raws, M, 64].
        sides: of what products read, [programs, n_sides, M, 64], in the type of the weights.
        out: the result.
        rows: of the signal.
        state_dim: of a state.
        n_steps: in the table.
        n_raws: slots.
        n_sides: slots.
        last: the slot in `raws` of the last step's output.
        FIELDS: numbers in a row of the table.
        KEEP: leave what `write` reads in the last slot of `sides`.
        ROWS: of a tile, at least 4.
        BLOCK: of state dimensions at a time.
        TERMS: products at once.
        STAGES: of their pipeline, as Triton counts; 1: none.
        PRECISION: of products of float32.
    """
    program = tl.program_id(0)
    raws += program.to(tl.int64) * n_raws * (ROWS * 256)
    sides += program.to(tl.int64) * n_sides * (ROWS * 256)
    bias, _, factor, shift = start(steps, raws, modulation, row_stride, biases, program, rows, ROWS)
    y = read_states(signal, read, program, rows, state_dim, ROWS, BLOCK, PRECISION) + bias
    finish(steps, y, factor, shift, raws, sides, modulation, row_stride, program, rows, ROWS)
    for number in range(1, n_steps):
        step = steps + number * FIELDS
        begin, end = tl.load(step), tl.load(step + 1)
        bias, residual, factor, shift = start(step, raws, modulation, row_stride, biases, program, rows, ROWS)
        tl.debug_barrier()
        y = tl.zeros((ROWS * 4, 64), tl.float32)
        y = products(y, sides, terms, squares, begin, end, ROWS, TERMS, STAGES, PRECISION) + residual + bias
        finish(step, y, factor, shift, raws, sides, modulation, row_stride, program, rows, ROWS)
    tl.debug_barrier()
    normal, _ = normalize(load_slot(raws, last, ROWS), 4, ROWS)
    channel = tl.arange(0, 2)[:, None] * 32 + tl.arange(0, 32)[None, :]
    weight, bias = (
        tl.load(affine + channel)[None, None, :, :],
        tl.load(affine + 64 + channel)[None, None, :, :],
    )
    h = activated(normal, weight, bias, ROWS)
    if KEEP:
        store_slot(sides, n_sides - 1, h, ROWS)
    write_states(out, h, write, write_bias, program, rows, state_dim, ROWS, BLOCK, PRECISION)
