"""How cost grows: the sizes that are varied one at a time, and exponents of what was measured at them.

An exponent is the slope of log cost over log size by least squares. The expected maxima are:

- agents, time: 1. K = N denoising steps (2N for two agents) of a fixed cost, N conditions, N observations in
each
  imagined step. Terms in N^2 have small weight: each of the N conditions attends to all 3N actions, the
  action token of the reward model to N, and N observations of N + 3 numbers go through linear layers.
- agents, memory: 1. Each of the N conditions is a query of its own, but they share the 3N keys.
- state, time and memory: 1. Only the first and last layers depend on the size of the state.
- rollouts, time and memory: 1. Rollouts do not interact.

The matrix products behind the N^2 terms are counted: time may grow linearly or, if that is steeper, like the
counted operations between the last two sizes. A part with the same operations at all sizes should not grow.
TOLERANCE covers the noise of measurements.
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
"""Agents of push-mass-N, size of the state (the tasks' and some between), rollouts of one imagined batch."""
TOLERANCE = 0.1


class Point(NamedTuple):
    """One size on one axis."""

    axis: str
    size: int

    def sizes(self, start: Sizes) -> Sizes:
        """The sizes `start` of push-mass with only this one changed."""
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
    """The power law by least squares of logarithms. Raises ValueError without two positive points."""
    if len(sizes) < 2 or min(*sizes, *costs) <= 0:
        raise ValueError(f"a power law needs two points, all positive, not {list(costs)} at {list(sizes)}")
    exponent, logarithm = np.polyfit(np.log(sizes), np.log(costs), 1)
    return Line(float(exponent), float(np.exp(logarithm)))


def growth(
    quantity: str, unit: str, axis: str, measured: Mapping[int, Sequence[float]], expected: float
) -> dict[str, Any]:
    """One quantity along one axis, for the table and the figure.

    Args:
        quantity: the measured cost.
        unit: of `measured`.
        axis: the varied size.
        measured: all repetitions by size.
        expected: largest exponent.
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
    """max(1, exponent of the counted operations between the last two sizes); 0 if they are all equal."""
    if len(set(operations)) == 1:
        return 0.0
    return max(1.0, fit(sizes[-2:], operations[-2:]).exponent)


EXPECTED_OF_MEMORY = 1.0

HEAD = "quantity | axis | sizes | from | to | exponent | of the last two | expected at most | verdict"


def table_row(found: Mapping[str, Any]) -> str:
    """A line below HEAD."""
    axis_sizes, medians, unit = found["sizes"], found["median"], found["unit"]
    return " | ".join([
        found["quantity"], found["axis"], f"{axis_sizes[0]} to {axis_sizes[-1]}",
        f"{medians[0]:.3g} {unit}", f"{medians[-1]:.3g} {unit}",
        *(f"{found[name]:.2f}" for name in ("exponent", "exponent_of_the_last_two", "expected_at_most")),
        "at most expected" if found["at_most_expected"] else "more than expected",
    ])  # fmt: skip
