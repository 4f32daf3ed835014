"""Numbers that kernels and their tables share."""

from __future__ import annotations

WIDTH = 64
"""Channels of every layer."""
TIMES = 4
"""Times at the widest level: three past states and the noisy next one."""

FORWARD_FIELDS = 16
"""Numbers in a row of the forward table; two rows are a cache line.

First term, end of the terms, times, first bias, second bias, residual's slot, slot of the output in `raws`,
in `sides`; then slot, first factor and first shift of the first activation, and of the second. -1: there is
none.
"""
BACKWARD_FIELDS = 12
"""Numbers in a row of the backward table.

First term of the raw output's gradient, end of those, times, step whose gradient is added as it is (-1:
none), activations, step; then end of the terms, first factor and first shift of the first activation, and of
the second.
"""
WEIGHT_FIELDS = 3
"""Numbers in a row of the table of weights: what the product read (encoded), step, bias whose gradient is the
same sum (-1: none)."""


def encoded(slot: int, length: int, stride: int, offset: int, spread: int) -> int:
    """A term as one number > 0: output[t] reads time (stride t + offset) / spread of a slot.

    The slot has `length` times. `kernels.tile.source_time` and `source_slot` decode it; 0 is a term that
    reads nothing.

    Raises:
        ValueError: a number has no room.
    """
    fields = ((length, 4), (stride, 4), (offset + 8, 4), (spread - 1, 1), (slot, 18))
    code = shift = 0
    for value, bits in fields:
        if not 0 <= value < 1 << bits:
            raise ValueError(f"{value} does not fit into {bits} bits of a term's code")
        code |= value << shift
        shift += bits
    return code
