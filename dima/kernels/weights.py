"""Gradients of the denoiser's weights: a program for each product, which sums over all rows and times.

One program sums every number in one order: the same bits every time.
"""

from __future__ import annotations

import triton
import triton.language as tl

from dima.kernels.tile import source_slot, source_time


@triton.jit
def kept(slots, n_slots, slot, row, time, there, ROWS: tl.constexpr):
    """[M, 64] of a slot in all programs' scratch memory, at a row and a time each."""
    at = (
        (row // ROWS).to(tl.int64) * (n_slots * ROWS * 256)
        + slot * (ROWS * 256)
        + row % ROWS * 256
        + time * 64
    )
    return tl.load(slots + at[:, None] + tl.arange(0, 64)[None, :], mask=there[:, None], other=0.0).to(
        tl.float32
    )


@triton.jit
def square_gradient(
    job, table, sides, gradients, d_squares, d_biases, rows, n_sides, n_raws,
    FIELDS: tl.constexpr, TILE: tl.constexpr, ROWS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Of the [64, 64] weights of one term, and of its bias where the table names one."""
    m, c = tl.arange(0, TILE * 4), tl.arange(0, 64)
    code, step, bias = (
        tl.load(table + FIELDS * job),
        tl.load(table + FIELDS * job + 1),
        tl.load(table + FIELDS * job + 2),
    )
    time, there = source_time(code, m % 4)
    d_weight, total = tl.zeros((64, 64), tl.float32), tl.zeros((TILE * 4, 64), tl.float32)
    for first in range(0, rows, TILE):
        row = first + m // 4
        x = kept(sides, n_sides, source_slot(code), row, time, there & (row < rows), ROWS)
        g = kept(gradients, n_raws, step, row, m % 4, row < rows, ROWS)
        d_weight = tl.dot(tl.trans(x), g, d_weight, input_precision=PRECISION)
        total += g
    tl.store(d_squares + job * 4096 + c[:, None] * 64 + c[None, :], d_weight)
    if bias >= 0:
        tl.store(d_biases + bias * 64 + c, tl.sum(total, 0))


@triton.jit
def read_gradient(
    job, signal, gradients, d_read, d_biases, rows, state_dim, n_raws,
    TILE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Of one tap of `read` for a block of state dimensions; the first program sums its bias too."""
    m, c, tap, d = tl.arange(0, TILE * 4), tl.arange(0, 64), job % 3, job // 3 * BLOCK + tl.arange(0, BLOCK)
    time = m % 4 + tap - 1
    d_weight, total = tl.zeros((BLOCK, 64), tl.float32), tl.zeros((TILE * 4, 64), tl.float32)
    for first in range(0, rows, TILE):
        row = first + m // 4
        there = ((row < rows) & (time >= 0) & (time < 4))[:, None] & (d < state_dim)[None, :]
        x = tl.load(signal + (row * 4 + time)[:, None] * state_dim + d[None, :], mask=there, other=0.0)
        g = kept(gradients, n_raws, 0, row, m % 4, row < rows, ROWS)
        d_weight = tl.dot(tl.trans(x), g, d_weight, input_precision=PRECISION)
        total += g
    tl.store(
        d_read + (tap * state_dim + d)[:, None] * 64 + c[None, :], d_weight, mask=(d < state_dim)[:, None]
    )
    if job == 0:
        tl.store(d_biases + c, tl.sum(total, 0))


@triton.jit
def write_gradient(
    job, d_out, sides, d_write, d_write_bias, rows, state_dim, n_sides,
    TILE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Of one tap of `write` for a block of state dimensions; the second tap's program sums their bias too."""
    m, c, tap, d = tl.arange(0, TILE * 4), tl.arange(0, 64), job % 2, job // 2 * BLOCK + tl.arange(0, BLOCK)
    d_weight, total = tl.zeros((64, BLOCK), tl.float32), tl.zeros((TILE * 4, BLOCK), tl.float32)
    for first in range(0, rows, TILE):
        row = first + m // 4
        last = (row < rows) & (m % 4 == 3)
        g = tl.load(
            d_out + row[:, None] * state_dim + d[None, :],
            mask=last[:, None] & (d < state_dim)[None, :],
            other=0.0,
        )
        h = kept(sides, n_sides, n_sides - 1, row, m % 4 + tap - 1, last, ROWS)
        d_weight = tl.dot(tl.trans(h), g, d_weight, input_precision=PRECISION)
        total += g
    tl.store(
        d_write + (tap * 64 + c)[:, None] * state_dim + d[None, :], d_weight, mask=(d < state_dim)[None, :]
    )
    if tap == 1:
        tl.store(d_write_bias + d, tl.sum(total, 0), mask=d < state_dim)


@triton.jit(do_not_specialize=["rows", "programs", "n_terms", "n_sides", "n_raws"])
def weight_kernel(
    signal, d_out, table, sides, gradients, d_affine_parts, d_squares, d_read, d_write, d_biases, d_affine,
    d_write_bias,
    rows, state_dim, programs, n_terms, n_sides, n_raws,
    FIELDS: tl.constexpr, TILE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Programs for each term, each tap and block of `read` and `write`, and the last norm.

    Args:
        signal: [rows, 4, state_dim], as `forward_kernel` read it.
        d_out: [rows, state_dim].
        table: [n_terms, FIELDS], see `tables.WEIGHT_FIELDS`.
        sides: as `forward_kernel` with KEEP left them.
        gradients: as `backward_kernel` left them.
        d_affine_parts: [programs, 2, 64], of the programs of `backward_kernel`.
        d_squares: gradient of the argument `squares` of `forward_kernel`.
        d_read: gradient of `read`.
        d_write: gradient of `write`.
        d_biases: gradient of `biases`.
        d_affine: gradient of `affine`.
        d_write_bias: gradient of `write_bias`.
        rows: of the signal.
        state_dim: of a state.
        programs: of `backward_kernel`.
        n_terms: in the table.
        n_sides: slots.
        n_raws: slots.
        FIELDS: numbers in a row of the table.
        TILE: rows at a time.
        ROWS: of a tile of the other kernels.
        BLOCK: of state dimensions.
        PRECISION: of products.
    """
    job = tl.program_id(0)
    blocks = tl.cdiv(state_dim, BLOCK)
    if job < n_terms:
        square_gradient(
            job,
            table,
            sides,
            gradients,
            d_squares,
            d_biases,
            rows,
            n_sides,
            n_raws,
            FIELDS,
            TILE,
            ROWS,
            PRECISION,
        )
    elif job < n_terms + 3 * blocks:
        read_gradient(
            job - n_terms,
            signal,
            gradients,
            d_read,
            d_biases,
            rows,
            state_dim,
            n_raws,
            TILE,
            ROWS,
            BLOCK,
            PRECISION,
        )
    elif job < n_terms + 5 * blocks:
        first = n_terms + 3 * blocks
        write_gradient(
            job - first,
            d_out,
            sides,
            d_write,
            d_write_bias,
            rows,
            state_dim,
            n_sides,
            TILE,
            ROWS,
            BLOCK,
            PRECISION,
        )
    else:
        c = tl.arange(0, 128)
        total = tl.zeros((128,), tl.float32)
        for part in range(programs):
            total += tl.load(d_affine_parts + part * 128 + c)
        tl.store(d_affine + c, total)
