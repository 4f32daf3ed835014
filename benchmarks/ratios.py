"""Ratios of CPU time, the reference's over ours, from rounds of calls that take turns in one process."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from benchmarks.contenders import GRADIENT, Dima, Plain, Results, relative_error
from benchmarks.counts import OperatorSeconds, flops
from benchmarks.timing import spread
from benchmarks.workload import PARTS, Data, Sizes
from dima.learning.compute import has_bfloat16

PRESETS = {"float32": "reference", "bfloat16": "fast"}
"""Our precisions and their presets; the reference is always in float32."""
TARGETS = {
    ("imagination", "float32"): 2.0,
    ("epoch", "float32"): 1.5,
    ("reward_model", "bfloat16"): 1.7,
    ("imagination", "bfloat16"): 3.5,
    ("epoch", "bfloat16"): 5.0,
}
"""Least ratio, on one thread."""
GEMM_TARGET = 0.75
"""Least share of the speed of a float32 matrix product that the whole epoch should reach."""
GEMM_SIZE = 1536
PRODUCTS = ("mm", "convolution", "attention")
"""In the names of operators that multiply matrices."""


class Round(NamedTuple):
    """CPU seconds of one call of each side, and operations a second of a matrix product (`gemm`).

    `ours` and `gemm` are by precision.
    """

    reference: float
    ours: Mapping[str, float]
    gemm: Mapping[str, float]


class Measured(NamedTuple):
    """All rounds of a part, and the FLOPs of one call of the reference and of ours.

    By precision: relative errors of one call's results and gradients, and its seconds by operator.
    """

    rounds: Sequence[Round]
    flops: tuple[float, float]
    error: Mapping[str, float]
    gradient_error: Mapping[str, float]
    operators: Mapping[str, Counter[str]]


def precisions() -> tuple[str, ...]:
    """Those that this processor multiplies in hardware."""
    return tuple(PRESETS) if has_bfloat16(torch.device("cpu")) else ("float32",)


def measure(part: str, sizes: Sizes, data: Data, rounds: int) -> Measured:
    """Compare and count a first call of each from the same weights, time operators, then take the rounds.

    The order of the calls rotates from round to round.
    """
    plain = getattr(Plain(sizes, data), part)
    ours = {
        name: getattr(
            Dima(
                sizes._replace(parameters=sizes.parameters.model_copy(update={"compute": PRESETS[name]})),
                data,
            ),
            part,
        )
        for name in precisions()
    }
    results: dict[str, Results] = {}

    def first(name: str, call: Callable[[], Results]) -> float:
        return flops(lambda: results.update({name: call()}))

    operations = first("reference", plain), *(first(name, call) for name, call in ours.items())
    errors: dict[bool, dict[str, float]] = {}
    for of_gradients in (False, True):
        chosen = {name: _only(result, of_gradients=of_gradients) for name, result in results.items()}
        errors[of_gradients] = {name: relative_error(chosen[name], chosen["reference"]) for name in ours}
    results.clear()
    operators = {}
    for name, call in ours.items():
        with OperatorSeconds() as spent:
            call()
        operators[name] = spent.seconds
    calls = {"reference": plain, **ours}
    taken = []
    for number in range(rounds):
        gemm = {name: gemm_speed(getattr(torch, name)) for name in ours}
        names = [*calls][number % len(calls) :] + [*calls][: number % len(calls)]
        seconds = {name: cpu_seconds(calls[name]) for name in names}
        taken.append(Round(seconds.pop("reference"), seconds, gemm))
    return Measured(taken, (operations[0], operations[1]), errors[False], errors[True], operators)


def _only(results: Results, *, of_gradients: bool) -> Results:
    return {name: value for name, value in results.items() if name.startswith(GRADIENT) == of_gradients}


def cpu_seconds(call: Callable[[], Any]) -> float:
    """CPU time of this process for one call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def gemm_speed(precision: torch.dtype) -> float:
    """Operations a second of products of two square matrices, the best of three."""
    matrix = torch.ones(GEMM_SIZE, GEMM_SIZE, dtype=precision)
    return 2 * GEMM_SIZE**3 / min(cpu_seconds(lambda: matrix @ matrix) for _ in range(3))


def whole_epoch(sizes: Sizes, measured: Mapping[str, Measured]) -> Measured:
    """The parts weighted by their calls in an epoch; no environment steps, no replay sampling."""
    weights = {part: sizes.calls_per_epoch(part) for part in PARTS}
    parts = [(weights[part], measured[part]) for part in PARTS]
    names = parts[0][1].rounds[0].ours.keys()
    rounds = [
        Round(
            sum(weight * part.rounds[number].reference for weight, part in parts),
            {name: sum(weight * part.rounds[number].ours[name] for weight, part in parts) for name in names},
            {name: statistics.median(part.rounds[number].gemm[name] for _, part in parts) for name in names},
        )
        for number in range(len(parts[0][1].rounds))
    ]
    operators: dict[str, Counter[str]] = {name: Counter() for name in names}
    for weight, part in parts:
        for name in names:
            operators[name].update(
                {operator: weight * seconds for operator, seconds in part.operators[name].items()}
            )
    return Measured(
        rounds,
        (
            sum(weight * part.flops[0] for weight, part in parts),
            sum(weight * part.flops[1] for weight, part in parts),
        ),
        {name: max(part.error[name] for _, part in parts) for name in names},
        {name: max(part.gradient_error[name] for _, part in parts) for name in names},
        operators,
    )


def rows(part: str, measured: Measured, *, targets: bool) -> list[dict[str, Any]]:
    """One row a precision: median seconds, ratio (`spread`), target, verdict and reason."""
    return [_row(part, precision, measured, targets) for precision in measured.rounds[0].ours]


def _row(part: str, precision: str, measured: Measured, targets: bool) -> dict[str, Any]:
    ratio = spread([one.reference / one.ours[precision] for one in measured.rounds])
    target = TARGETS.get((part, precision)) if targets else None
    share = statistics.median(
        measured.flops[1] / one.ours[precision] / one.gemm[precision] for one in measured.rounds
    )
    share_target = GEMM_TARGET if targets and (part, precision) == ("epoch", "float32") else None
    met = None if target is None else ratio["median"] >= target
    share_met = None if share_target is None else share >= share_target
    return {
        "part": part,
        "precision": precision,
        "ours_seconds": statistics.median(one.ours[precision] for one in measured.rounds),
        "reference_seconds": statistics.median(one.reference for one in measured.rounds),
        "ratio": ratio,
        "target": target,
        "met": met,
        "gigaflop": measured.flops[1] / 1e9,
        "gemm_fraction": share,
        "gemm_target": share_target,
        "gemm_met": share_met,
        "relative_error": measured.error[precision],
        "relative_error_of_gradients": measured.gradient_error[precision],
        "reason": reason(measured, precision) if False in (met, share_met) else None,
    }


def reason(measured: Measured, precision: str) -> str:
    """What limits a ratio: the ratio of FLOPs, and the operators that take our time."""
    spent = measured.operators[precision]
    products = sum(seconds for name, seconds in spent.items() if any(word in name for word in PRODUCTS))
    others = [
        (name, seconds) for name, seconds in spent.most_common() if not any(word in name for word in PRODUCTS)
    ][:3]
    whole = spent.total()
    largest = ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in others)
    more = measured.flops[0] / measured.flops[1]
    products_share = f"{products / whole:.0%} of our time are products of matrices"
    return f"the reference has {more:.2f} times our FLOPs; {products_share}, then {largest}"
