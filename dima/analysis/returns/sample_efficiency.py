"""How few environment steps a method needs to learn.

The area under its learning curves, and when they reach a share of DIMA's final return.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from dima.analysis.returns.curves import runs_of
from dima.analysis.returns.ranks import Rank, with_ranks
from dima.analysis.returns.rows import Row
from dima.analysis.returns.statistics import area_under_curve, deviation, steps_to_reach

SHARES = (0.5, 0.9)


@dataclass(frozen=True)
class Efficiency:
    """The learning curves of one row in numbers.

    Attributes:
        areas: under the curve of each completed seed.
        targets: the return to reach, by share; empty where there is none, which `obstacle` explains.
        reached: by share, the step at which each seed reaches it, None where it never does.
    """

    row: Row
    areas: list[float]
    targets: dict[float, float]
    reached: dict[float, list[int | None]]
    obstacle: str
    rank: Rank = ""

    @property
    def synthetic(self) -> str | None:
        """The label of synthetic records."""
        return self.row.synthetic

    @property
    def area(self) -> float | None:
        """The mean over seeds."""
        return float(np.mean(self.areas)) if self.areas else None

    @property
    def area_deviation(self) -> float | None:
        """The standard deviation over seeds (ddof 1)."""
        return deviation(np.array(self.areas))

    def median_steps(self, share: float) -> float | None:
        """The median over seeds, infinite if half of them or more never reach it; None without a target."""
        steps = self.reached.get(share)
        return None if steps is None else float(np.median([inf if step is None else step for step in steps]))

    def count(self, share: float) -> int:
        """How many seeds reach it."""
        return sum(step is not None for step in self.reached[share])


def measure_efficiency(rows: Sequence[Row]) -> list[Efficiency]:
    """The sample-efficiency of the rows at the end of the budget.

    Raises:
        UserError: an event log cannot be trusted, see `read_curve`.
    """
    dima = {row.sample.task: row for row in rows if row.sample.method == "dima"}
    return with_ranks(
        [_measure(row, dima.get(row.sample.task)) for row in rows],
        lambda one: (
            ((one.row.sample.task, one.row.sample.lineage), one.area)
            if one.area is not None and one.row.sample.complete
            else None
        ),
        digits=1,
    )


def _measure(row: Row, dima: Row | None) -> Efficiency:
    if not row.statistics:
        return Efficiency(row, [], {}, {}, "")
    runs = [run.dropna() for _, run in runs_of(row).items()]
    curves = [(run.index.to_numpy(), run.to_numpy()) for run in runs]
    areas = [area_under_curve(*curve) for curve in curves if len(curve[0]) > 1]
    final, obstacle = _final_return(row, dima)
    targets = {} if final is None else {share: share * final for share in SHARES}
    reached = {
        share: [steps_to_reach(*curve, target) for curve in curves] for share, target in targets.items()
    }
    return Efficiency(row, areas if len(areas) == len(curves) else [], targets, reached, obstacle)


def _final_return(row: Row, dima: Row | None) -> tuple[float | None, str]:
    """The return of which shares are to be reached, or why there is none."""
    if dima is None or not dima.statistics:
        return None, "no final return of dima to compare with"
    if dima.sample.lineage != row.sample.lineage:
        return None, "other physics than dima's"
    if dima.statistics.mean <= 0:
        return None, "dima's final return is not positive: it has no shares"
    return dima.statistics.mean, ""
