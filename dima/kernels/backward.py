"""Gradients of the denoiser's network except its weights: the forward kernel's tiles and steps, backwards.

The gradient of a step's output is in the slot of its number, and the gradients of that step's inputs read it.
"""

from __future__ import annotations

import triton
import triton.language as tl

from dima.kernels.tile import (
    factor_and_shift,
    group_mean,
    load_slot,
    modulation_at,
    normalize,
    products,
    rows_inside,
    store_slot,
)


@triton.jit
def through_silu(gradient, argument):
    """Gradient of the argument of x sigmoid(x)."""
    sigmoid = tl.sigmoid(argument)
    return gradient * sigmoid * (1.0 + argument * (1.0 - sigmoid))


@triton.jit
def through_norm(gradient, normal, inverse, length):
    """Gradient of what was normalised; all are [ROWS, 4, 2, 32], and the gradient is zero past `length`."""
    return inverse * (
        gradient - group_mean(gradient, length) - normal * group_mean(gradient * normal, length)
    )


@triton.jit
def through_write(
    d_out, write, program, rows, state_dim, ROWS: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr
):  # fmt: skip
    """Gradient [M, 64] of what `write` reads: the last two times."""
    m, c = tl.arange(0, ROWS * 4), tl.arange(0, 64)
    row, t = program * ROWS + m // 4, m % 4
    dh = tl.zeros((ROWS * 4, 64), tl.float32)
    for first in range(0, state_dim, BLOCK):
        d = first + tl.arange(0, BLOCK)
        for tap in tl.static_range(2):
            there = ((row < rows) & (t == tap + 2))[:, None] & (d < state_dim)[None, :]
            v = tl.load(
                write + (tap * 64 + c)[None, :] * state_dim + d[:, None],
                mask=(d < state_dim)[:, None],
                other=0.0,
            )
            g = tl.load(d_out + row[:, None] * state_dim + d[None, :], mask=there, other=0.0)
            dh = tl.dot(g.to(v.dtype), v, dh, input_precision=PRECISION)
    return dh


@triton.jit
def through_read(
    d_signal, gradients, read, program, rows, state_dim, ROWS: tl.constexpr, BLOCK: tl.constexpr,
    PRECISION: tl.constexpr
):  # fmt: skip
    """Gradient of the states, from that of step 0."""
    m, c = tl.arange(0, ROWS * 4), tl.arange(0, 64)
    at, t = program * (ROWS * 4) + m, m % 4
    for first in range(0, state_dim, BLOCK):
        d = first + tl.arange(0, BLOCK)
        y = tl.zeros((ROWS * 4, BLOCK), tl.float32)
        for tap in tl.static_range(3):
            there = (t + 1 - tap >= 0) & (t + 1 - tap < 4)  # output[t + 1 - tap] read states[t] with this tap
            g = tl.load(gradients + (m + 1 - tap)[:, None] * 64 + c[None, :], mask=there[:, None], other=0.0)
            v = tl.load(
                read + (tap * state_dim + d)[None, :] * 64 + c[:, None],
                mask=(d < state_dim)[None, :],
                other=0.0,
            )
            y = tl.dot(g.to(v.dtype), v, y, input_precision=PRECISION)
        tl.store(
            d_signal + at[:, None] * state_dim + d[None, :],
            y,
            mask=(at < rows * 4)[:, None] & (d < state_dim)[None, :],
        )


@triton.jit
def last_gradient(
    d_out, write, affine, raws, d_affine, program, rows, state_dim, n_raws,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradient [M, 64] of the last step's output, through `write` and the last norm, whose own is stored."""
    normal, inverse = normalize(load_slot(raws, n_raws - 1, ROWS), 4, ROWS)
    channel = tl.arange(0, 2)[:, None] * 32 + tl.arange(0, 32)[None, :]
    weight, bias = (
        tl.load(affine + channel)[None, None, :, :],
        tl.load(affine + 64 + channel)[None, None, :, :],
    )
    dh = through_write(d_out, write, program, rows, state_dim, ROWS, BLOCK, PRECISION)
    da = through_silu(tl.reshape(dh, (ROWS, 4, 2, 32)), normal * weight + bias)
    tl.store(d_affine + program * 128 + channel, tl.sum(tl.sum(da * normal, 1), 0))
    tl.store(d_affine + program * 128 + 64 + channel, tl.sum(tl.sum(da, 1), 0))
    return tl.reshape(through_norm(da * weight, normal, inverse, 4), (ROWS * 4, 64))


@triton.jit
def through_activation(
    dh, normal, length, factor_at, shift_at, modulation, row_stride, d_modulation, d_row_stride, program,
    rows, ROWS: tl.constexpr
):  # fmt: skip
    """Gradient [ROWS, 4, 2, 32] before the activation, from dh [M, 64]; stores those of factor and shift."""
    here = (tl.arange(0, 4) < length)[None, :, None, None]
    inside = rows_inside(program, rows, ROWS)
    factor, shift = factor_and_shift(modulation, row_stride, factor_at, shift_at, program, rows, ROWS)
    da = tl.where(here, through_silu(tl.reshape(dh, (ROWS, 4, 2, 32)), normal * factor + shift), 0.0)
    tl.store(
        modulation_at(d_modulation, d_row_stride, factor_at, program, ROWS),
        tl.sum(da * normal, 1)[:, None, :, :],
        mask=inside,
    )
    tl.store(
        modulation_at(d_modulation, d_row_stride, shift_at, program, ROWS),
        tl.sum(da, 1)[:, None, :, :],
        mask=inside,
    )
    return da * factor


@triton.jit(do_not_specialize=["rows", "n_steps", "n_raws"])
def backward_kernel(
    d_out, modulation, row_stride, turned, read, write, affine, steps, terms, raws, gradients, d_signal,
    d_modulation, d_affine,
    rows, state_dim, d_row_stride, n_steps, n_raws,
    FIELDS: tl.constexpr, SIGNAL: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
    TERMS: tl.constexpr, STAGES: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """d_out [rows, state_dim] to gradients of every step's output, the modulation and, if SIGNAL, the states.

    `turned` has the [64, 64] weight of each term transposed, `steps` the fields of `tables.BACKWARD_FIELDS`,
    `raws` what `forward_kernel` with KEEP left. Written are `gradients` (like `raws`), `d_signal` [rows, 4,
    state_dim], `d_modulation` (`d_row_stride` numbers a row) and `d_affine` [programs, 2, 64], a part from
    each program. All else is as in `forward_kernel`.
    """
    program = tl.program_id(0)
    raws += program.to(tl.int64) * n_raws * (ROWS * 256)
    gradients += program.to(tl.int64) * n_raws * (ROWS * 256)
    last = last_gradient(
        d_out, write, affine, raws, d_affine, program, rows, state_dim, n_raws, ROWS, BLOCK, PRECISION
    )
    store_slot(gradients, n_raws - 1, last, ROWS)
    for number in range(n_steps):
        step = steps + number * FIELDS
        begin, end, length = tl.load(step), tl.load(step + 1), tl.load(step + 2)
        residual, activations, own = tl.load(step + 3), tl.load(step + 4), tl.load(step + 5)
        normal, inverse = normalize(load_slot(raws, own, ROWS), length, ROWS)
        tl.debug_barrier()
        g = load_slot(gradients, residual, ROWS)
        g = products(g, gradients, terms, turned, begin, end, ROWS, TERMS, STAGES, PRECISION)
        dn = tl.zeros((ROWS, 4, 2, 32), tl.float32)
        for activation in range(activations):
            field, begin = step + 6 + 3 * activation, end
            end = tl.load(field)
            dh = tl.zeros((ROWS * 4, 64), tl.float32)
            dh = products(dh, gradients, terms, turned, begin, end, ROWS, TERMS, STAGES, PRECISION)
            dn += through_activation(
                dh, normal, length, tl.load(field + 1), tl.load(field + 2),
                modulation, row_stride, d_modulation, d_row_stride, program, rows, ROWS,
            )  # fmt: skip
        g += tl.reshape(through_norm(dn, normal, inverse, length), (ROWS * 4, 64))
        here = tl.arange(0, ROWS * 4) % 4 < length
        store_slot(gradients, own, tl.where(here[:, None], g, 0.0), ROWS)
    if SIGNAL:
        tl.debug_barrier()
        through_read(d_signal, gradients, read, program, rows, state_dim, ROWS, BLOCK, PRECISION)
