"""How CPU time and peak memory of an epoch's learning grow with agents, state and rollouts, with exponents.

    python -m benchmarks.scaling --json scaling.json --figure scaling

The networks and batches are those of the grid quick on push-mass, in which one size is varied at a time
(`benchmarks.growth` says which, and what is expected). Times are CPU seconds of one thread, of every part and
of an epoch, which has as many calls of each part as the grid says, without environment steps and replay
sampling. All points take turns, sweep after sweep, and a point's cost is the median.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import memory, scaling_figure
from benchmarks.contenders import Dima
from benchmarks.counts import flops
from benchmarks.growth import (
    AXES,
    EXPECTED_OF_MEMORY,
    HEAD,
    Point,
    base,
    expected_of_time,
    growth,
    points,
    table_row,
)
from benchmarks.ratios import cpu_seconds
from benchmarks.timing import Elapsed, command, print_head, write_result
from benchmarks.workload import PARTS, Sizes, random_data
from dima.learning.compute import prepare_process

LEAST_SECONDS = 0.15
"""Of one measurement, which repeats a short call until then."""
QUANTITIES = (*PARTS, "epoch")

Costs = dict[str, float]
"""By quantity."""


class Candidate:
    """The learning of one point, ready to be measured again and again."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        contender = Dima(sizes, random_data(sizes))
        self._calls: dict[str, Callable[[], Any]] = {part: getattr(contender, part) for part in PARTS}

    def operations(self) -> Costs:
        """Floating-point operations of one call of each part, and of an epoch."""
        return self._with_epoch({part: float(flops(call)) for part, call in self._calls.items()})

    def seconds(self) -> Costs:
        """CPU seconds of one call of each part, and of an epoch."""
        return self._with_epoch({part: _seconds_of_a_call(call) for part, call in self._calls.items()})

    def _with_epoch(self, costs: Costs) -> Costs:
        return costs | {
            "epoch": sum(self._sizes.calls_per_epoch(part) * cost for part, cost in costs.items())
        }


def _seconds_of_a_call(call: Callable[[], Any]) -> float:
    calls, seconds = 0, 0.0
    while not calls or seconds < LEAST_SECONDS:
        calls, seconds = calls + 1, seconds + cpu_seconds(call)
    return seconds / calls


def times(start: Sizes, axes: Mapping[str, Sequence[int]], sweeps: int) -> list[dict[str, Any]]:
    """Growth of CPU seconds, for every axis and quantity.

    The order of the points turns around from sweep to sweep.
    """
    candidates = {point: Candidate(point.sizes(start)) for point in points(axes)}
    operations = {
        point: candidate.operations() for point, candidate in candidates.items()
    }  # also the first calls, which do more
    taken: dict[Point, list[Costs]] = {point: [] for point in candidates}
    for sweep in range(sweeps):
        for point in list(candidates)[:: -1 if sweep % 2 else 1]:
            taken[point].append(candidates[point].seconds())
    found = []
    for axis, axis_sizes in axes.items():
        for quantity in QUANTITIES:
            counted = [operations[Point(axis, size)][quantity] for size in axis_sizes]
            measured = {size: [costs[quantity] for costs in taken[Point(axis, size)]] for size in axis_sizes}
            row = growth(f"time of {quantity}", "s", axis, measured, expected_of_time(axis_sizes, counted))
            found.append(row | {"operations": counted})
    return found


def peaks(axes: Mapping[str, Sequence[int]], sweeps: int) -> list[dict[str, Any]]:
    """Growth of peak memory, for every axis."""
    taken: dict[Point, list[float]] = {point: [] for point in points(axes)}
    for _ in range(sweeps):
        for point, repetitions in taken.items():
            repetitions.append(memory.measured_apart(point) / 2**20)
    return [
        growth(
            "peak memory",
            "MiB",
            axis,
            {size: taken[Point(axis, size)] for size in axis_sizes},
            EXPECTED_OF_MEMORY,
        )
        for axis, axis_sizes in axes.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write JSON and the figure."""
    parser = command(".scaling", "Measure how DIMA's cost grows on a CPU.")
    parser.add_argument(
        "--sweeps", type=int, default=3, help="measurements of every point (default: %(default)s)"
    )
    parser.add_argument("--figure", type=Path, metavar="STEM", help="write STEM.png and STEM.pdf")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    prepare_process("reference", torch.device("cpu"))
    elapsed = Elapsed()
    found = times(base(), AXES, options.sweeps) + peaks(AXES, options.sweeps)
    print_head(HEAD)
    print(*map(table_row, found), sep="\n")
    write_result(options.json, {"sweeps": options.sweeps, "growth": found} | elapsed.printed())
    if options.figure:
        scaling_figure.save(found, options.figure)


if __name__ == "__main__":
    main()
