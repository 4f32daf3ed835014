"""What the kernels of the U-Net share: operations on a tile of ROWS rows.

A tile is [M, 64] with M = ROWS * 4, row by row and time by time, or [ROWS, 4, 2, 32] where channels are
normalised in two groups. Levels of 2 times or 1 use the first of the four. `code` is an encoded term,
`length` the number of times in use.
"""

from __future__ import annotations

import triton
import triton.language as tl

EPSILON = tl.constexpr(1e-5)
"""Of every group norm."""


@triton.jit
def group_mean(x, length):
    """Mean over times and channels of [ROWS, 4, 2, 32], which is zero past `length`: [ROWS, 1, 2, 1]."""
    share = tl.where(length == 4, 1 / 128, tl.where(length == 2, 1 / 64, 1 / 32))
    return tl.sum(tl.sum(x, 3, keep_dims=True), 1, keep_dims=True) * share


@triton.jit
def normalize(x, length, ROWS: tl.constexpr):
    """Normalised [ROWS, 4, 2, 32] of [M, 64], zero past `length`, and 1 / deviation [ROWS, 1, 2, 1]."""
    here = (tl.arange(0, 4) < length)[None, :, None, None]
    x = tl.where(here, tl.reshape(x, (ROWS, 4, 2, 32)), 0.0)
    centred = tl.where(here, x - group_mean(x, length), 0.0)
    inverse = tl.rsqrt(group_mean(centred * centred, length) + EPSILON)
    return centred * inverse, inverse


@triton.jit
def modulation_at(modulation, row_stride, first, program, ROWS: tl.constexpr):
    """Pointers [ROWS, 1, 2, 32] to 64 numbers of each row's modulation."""
    row = program * ROWS + tl.arange(0, ROWS)
    channel = tl.arange(0, 2)[:, None] * 32 + tl.arange(0, 32)[None, :]
    return modulation + first + row[:, None, None, None] * row_stride + channel[None, None, :, :]


@triton.jit
def rows_inside(program, rows, ROWS: tl.constexpr):
    """Which rows of the tile exist, [ROWS, 1, 1, 1]."""
    return (program * ROWS + tl.arange(0, ROWS) < rows)[:, None, None, None]


@triton.jit
def factor_and_shift(modulation, row_stride, factor, shift, program, rows, ROWS: tl.constexpr):
    """Factor and shift after a norm, [ROWS, 1, 2, 32] each; 0 where `factor` < 0 or there is no row."""
    wanted = rows_inside(program, tl.where(factor < 0, 0, rows), ROWS)
    factors = tl.load(modulation_at(modulation, row_stride, factor, program, ROWS), mask=wanted, other=0.0)
    return factors, tl.load(
        modulation_at(modulation, row_stride, shift, program, ROWS), mask=wanted, other=0.0
    )


@triton.jit
def activated(normal, factor, shift, ROWS: tl.constexpr):
    """SiLU of what was normalised and modulated, [M, 64]."""
    argument = normal * factor + shift
    return tl.reshape(argument * tl.sigmoid(argument), (ROWS * 4, 64))


@triton.jit
def slot_at(slots, slot, ROWS: tl.constexpr):
    """Pointers [M, 64] to a slot."""
    return slots + slot * (ROWS * 256) + tl.arange(0, ROWS * 4)[:, None] * 64 + tl.arange(0, 64)[None, :]


@triton.jit
def store_slot(slots, slot, x, ROWS: tl.constexpr):
    """Put [M, 64] into a slot, in the slots' type."""
    tl.store(slot_at(slots, slot, ROWS), x.to(slots.dtype.element_ty))


@triton.jit
def load_slot(slots, slot, ROWS: tl.constexpr):
    """[M, 64] of a slot; zero where `slot` < 0."""
    there = slot + tl.zeros((ROWS * 4, 64), tl.int32) >= 0
    return tl.load(slot_at(slots, slot, ROWS), mask=there, other=0.0)


@triton.jit
def source_time(code, t):
    """The time (stride t + offset) / spread that output[t] reads, and whether the source has it."""
    length, stride, offset, halve = code & 15, (code >> 4) & 15, ((code >> 8) & 15) - 8, (code >> 12) & 1
    numerator = t * stride + offset
    source = numerator >> halve
    return source, (numerator >= 0) & ((source << halve) == numerator) & (source < length)


@triton.jit
def source_slot(code):
    """The slot that an encoded term reads."""
    return code >> 13


@triton.jit
def left_sides(slots, code, ROWS: tl.constexpr, TERMS: tl.constexpr):
    """What the terms `code` [1, TERMS, 1] read, shifted in time, [M, TERMS * 64]; zero where nothing."""
    m, c = tl.arange(0, ROWS * 4)[:, None, None], tl.arange(0, 64)[None, None, :]
    source, there = source_time(code, m % 4)
    at = tl.reshape(source_slot(code) * (ROWS * 256) + (m - m % 4 + source) * 64 + c, (ROWS * 4, TERMS * 64))
    there = tl.reshape(there & (c >= 0), (ROWS * 4, TERMS * 64))
    # 64 numbers are contiguous, which the compiler does not see behind the reshape: without it the copies
    # would be of single numbers
    at, there = tl.max_contiguous(tl.multiple_of(at, (1, 8)), (1, 8)), tl.max_constancy(there, (1, 8))
    return tl.load(slots + at, mask=there, other=0.0)


@triton.jit
def products(
    y, slots, terms, squares, first, end, ROWS: tl.constexpr, TERMS: tl.constexpr, STAGES: tl.constexpr,
    PRECISION: tl.constexpr
):  # fmt: skip
    """y plus the products of the terms from `first` to `end`, TERMS of them as one.

    Only this loop may be pipelined (STAGES > 1): nothing is written in it.
    """
    k, c = tl.arange(0, TERMS * 64)[:, None], tl.arange(0, 64)[None, :]
    for begin in tl.range(first, end, TERMS, num_stages=STAGES):
        term = begin + tl.arange(0, TERMS)
        x = left_sides(slots, tl.load(terms + term, mask=term < end, other=0)[None, :, None], ROWS, TERMS)
        weights = tl.load(squares + begin * 4096 + k * 64 + c, mask=k < (end - begin) * 64, other=0.0)
        y = tl.dot(x.to(weights.dtype), weights, y, input_precision=PRECISION)
    return y
