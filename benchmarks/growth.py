"""How cost grows: the sizes that are varied, one at a time, and exponents of what was measured at them.

An exponent is the slope of log cost over log size by least squares. What is expected of it at most:

- agents, time: K = N denoising steps (2N for two agents), each of a fixed cost; N conditions; N observations
  in each imagined step. All of that is linear. Squares of N have small weight: each of the N conditions
  attends to the 3N actions of all, the action token of the reward model to N, and N observations have N + 3
  numbers each, which linear layers read and write.
- agents, memory: linear, likewise: each of the N conditions is a query of its own, but they share the 3N
keys.
- state, time and memory: linear, since the state enters and leaves through first and last layers alone;
nothing else depends on it.
- rollouts, time and memory: linear, since rollouts do not interact.

The products of matrices that make those squares are counted, so that time is expected to grow at most
linearly or, where that is more, as the counted operations do between the last two sizes, where they are
steepest; a part with the same operations at all sizes should not grow at all. TOLERANCE is allowed for the
noise of measured numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.workload import Sizes, full_rows, sizes
from dima.experience.dimensions import Dimensions

AXES: Mapping[str, tuple[int, ...]] = {
    "agents": (2, 3, 4, 6, 12, 24),
    "state": (6, 17, 54, 105, 211, 420),
    "rollouts": (75, 150, 300, 600),
}
"""Agents of push-mass-N, numbers in a state (those of the tasks, and between them), rollouts of one imagined
batch."""
TOLERANCE = 0.1


class Point(NamedTuple):
    """One size on one axis."""

    axis: str
    size: int

    def sizes(self, start: Sizes) -> Sizes:
        """Those of `start`, which is push-mass, with nothing changed but this."""
        parameters, (states, agents, observations, actions), _ = start
        if self.axis == "rollouts":
            behavior = parameters.behavior.model_copy(update={"rollouts": self.size})
            parameters = parameters.model_copy(update={"behavior": behavior})
        elif self.axis == "agents":
            agents, observations = self.size, 3 + self.size
        else:
            states = self.size
        return Sizes(parameters, Dimensions(states, agents, observations, actions), full_rows(parameters))


def base() -> Sizes:
    """The networks and batches of the grid quick on push-mass."""
    return sizes("quick")


def points(axes: Mapping[str, Sequence[int]]) -> list[Point]:
    """All points of all axes."""
    return [Point(axis, size) for axis, chosen in axes.items() for size in chosen]


class Line(NamedTuple):
    """cost = factor * size^exponent."""

    exponent: float
    factor: float


def fit(sizes: Sequence[float], costs: Sequence[float]) -> Line:
    """The power law of least squares in the logarithms.

    Raises ValueError where there are not two positive points.
    """
    if len(sizes) < 2 or min(*sizes, *costs) <= 0:
        raise ValueError(f"a power law needs two points, all positive, not {list(costs)} at {list(sizes)}")
    exponent, logarithm = np.polyfit(np.log(sizes), np.log(costs), 1)
    return Line(float(exponent), float(np.exp(logarithm)))


def growth(
    quantity: str, unit: str, axis: str, measured: Mapping[int, Sequence[float]], expected: float
) -> dict[str, Any]:
    """What a table and a figure say of one quantity along one axis.

    Args:
        quantity: what costs.
        unit: of the measured numbers.
        axis: what is varied.
        measured: by size, all repetitions.
        expected: the exponent is held to be at most this.
    """
    axis_sizes = list(measured)
    medians = [float(np.median(repetitions)) for repetitions in measured.values()]
    line, last = fit(axis_sizes, medians), fit(axis_sizes[-2:], medians[-2:])
    return {
        "quantity": quantity,
        "unit": unit,
        "axis": axis,
        "sizes": axis_sizes,
        "measured": [list(repetitions) for repetitions in measured.values()],
        "median": medians,
        "exponent": line.exponent,
        "factor": line.factor,
        "exponent_of_the_last_two": last.exponent,
        "expected_at_most": expected,
        "at_most_expected": bool(max(line.exponent, last.exponent) <= expected + TOLERANCE),
    }


def expected_of_time(sizes: Sequence[int], operations: Sequence[float]) -> float:
    """The larger of 1 and of the exponent of the counted operations between the last two sizes.

    0 where all sizes have the same.
    """
    if len(set(operations)) == 1:
        return 0.0
    return max(1.0, fit(sizes[-2:], operations[-2:]).exponent)


EXPECTED_OF_MEMORY = 1.0

HEAD = "quantity | axis | sizes | from | to | exponent | of the last two | expected at most | verdict"


def table_row(found: Mapping[str, Any]) -> str:
    """A line below HEAD."""
    axis_sizes, medians, unit = found["sizes"], found["median"], found["unit"]
    return " | ".join([
        found["quantity"], found["axis"], f"{axis_sizes[0]} to {axis_sizes[-1]}", f"{medians[0]:.3g} {unit}", f"{medians[-1]:.3g} {unit}",
        *(f"{found[name]:.2f}" for name in ("exponent", "exponent_of_the_last_two", "expected_at_most")),
        "at most expected" if found["at_most_expected"] else "more than expected",
    ])  # fmt: skip
