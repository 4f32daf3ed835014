"""Ratios of CPU time, the reference's over ours, from pairs of calls that take turns in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from benchmarks.contenders import GRADIENT, Dima, Plain, Results, relative_error
from benchmarks.counts import flops
from benchmarks.workload import PARTS, Data, Sizes

TARGETS = {"imagination": 2.0, "epoch": 1.3}
"""In float32 on one thread."""
GEMM_SIZE = 1536


class Pair(NamedTuple):
    """One call of each side, in seconds of CPU time, and the speed of a matrix product beside them, in operations a second."""

    ours: float
    reference: float
    gemm: float


class Measured(NamedTuple):
    """All pairs of a part, the operations of one call of ours, and how far the first results of the two, and gradients, are apart."""

    pairs: Sequence[Pair]
    flops: float
    error: float
    gradient_error: float


def measure(part: str, sizes: Sizes, data: Data, pairs: int) -> Measured:
    """A first call of each from the same weights, compared and counted; then `pairs` pairs, their order alternating."""
    calls = (getattr(Dima(sizes, data), part), getattr(Plain(sizes, data), part))
    results: list[Results] = []
    operations = flops(lambda: results.append(calls[0]()))
    results.append(calls[1]())
    gradients = [{name: value for name, value in result.items() if name.startswith(GRADIENT)} for result in results]
    rest = [{name: value for name, value in result.items() if not name.startswith(GRADIENT)} for result in results]
    error, gradient_error = relative_error(*rest), relative_error(*gradients)
    del results, gradients, rest
    taken = []
    for pair in range(pairs):
        gemm = gemm_speed()
        order = (0, 1) if pair % 2 else (1, 0)
        seconds = {side: cpu_seconds(calls[side]) for side in order}
        taken.append(Pair(seconds[0], seconds[1], gemm))
    return Measured(taken, operations, error, gradient_error)


def cpu_seconds(call: Callable[[], Any]) -> float:
    """CPU time of this process for one call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def gemm_speed() -> float:
    """Operations a second of float32 products of two square matrices, the best of three."""
    matrix = torch.ones(GEMM_SIZE, GEMM_SIZE, dtype=torch.float32)
    return 2 * GEMM_SIZE**3 / min(cpu_seconds(lambda: matrix @ matrix) for _ in range(3))


def whole_epoch(sizes: Sizes, measured: Mapping[str, Measured]) -> Measured:
    """The parts' calls weighted by how many of them an epoch has, pair by pair; without environment steps and replay sampling."""
    weights = {part: sizes.calls_per_epoch(part) for part in PARTS}
    pairs = [
        Pair(
            sum(weights[part] * pair.ours for part, pair in zip(PARTS, row, strict=True)),
            sum(weights[part] * pair.reference for part, pair in zip(PARTS, row, strict=True)),
            statistics.median(pair.gemm for pair in row),
        )
        for row in zip(*(measured[part].pairs for part in PARTS), strict=True)
    ]
    operations = sum(weights[part] * measured[part].flops for part in PARTS)
    error, gradient_error = (max(getattr(measured[part], name) for part in PARTS) for name in ("error", "gradient_error"))
    return Measured(pairs, operations, error, gradient_error)


def row(part: str, measured: Measured) -> dict[str, Any]:
    """What a table says of a part: median seconds, the ratio with its least and greatest, and the fraction of the GEMM peak."""
    ratios = [pair.reference / pair.ours for pair in measured.pairs]
    median, target = statistics.median(ratios), TARGETS.get(part)
    return {
        "part": part,
        "ours_seconds": statistics.median(pair.ours for pair in measured.pairs),
        "reference_seconds": statistics.median(pair.reference for pair in measured.pairs),
        "ratio": {"median": median, "min": min(ratios), "max": max(ratios)},
        "target": target,
        "met": None if target is None else median >= target,
        "gigaflop": measured.flops / 1e9,
        "gemm_fraction": statistics.median(measured.flops / pair.ours / pair.gemm for pair in measured.pairs),
        "relative_error": measured.error,
        "relative_error_of_gradients": measured.gradient_error,
    }
