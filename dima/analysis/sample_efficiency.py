"""How few environment steps a method needs: the area under its learning curves, and when they reach a share of DIMA's final return."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from dima.analysis.csv_table import text_of
from dima.analysis.load import read_curve
from dima.analysis.markup import NONE, TextTable, note_mark
from dima.analysis.ranks import Rank, ranks
from dima.analysis.rows import Row, label_of
from dima.analysis.statistics import area_under_curve, steps_to_reach
from dima.grid import Grid

SHARES = (0.5, 0.9)
_EXPLANATION = """\
seeds: completed/planned; mean return: return averaged over all of training (area under a seed's learning curve, divided by its steps),
mean ± standard deviation (ddof 1) over completed seeds; steps to 50 %, 90 %: environment steps until an evaluation first reaches that share
of the final return of our dima on the task (same physics), median over seeds, in brackets how many seeds reach it; > budget: half of
the seeds or more never do.
Best mean in bold, second best underlined, per task; only methods with the same physics and every planned seed compete."""
_HEADING = ("task", "method", "seeds", "mean return", *(f"steps to {share:.0%}".replace("%", " %") for share in SHARES), "remarks")
_NUMERIC = frozenset(_HEADING) - {"task", "method", "remarks"}


@dataclass(frozen=True)
class Efficiency:
    """The learning curves of one row, in numbers by completed seed.

    Attributes:
        areas: under the curve of each seed.
        targets: the return that is to be reached, by share; empty where there is none to compare with, which `obstacle` explains.
        reached: by share, the step at which each seed is there, None for one that never is.
    """

    row: Row
    areas: list[float]
    targets: dict[float, float]
    reached: dict[float, list[int | None]]
    obstacle: str
    rank: Rank = ""

    def median_steps(self, share: float) -> float:
        """The median over seeds, infinite where half of the seeds or more never get there."""
        steps = sorted(inf if step is None else step for step in self.reached[share])
        middle = len(steps) // 2
        return float(steps[middle] if len(steps) % 2 else (steps[middle - 1] + steps[middle]) / 2)

    def count(self, share: float) -> int:
        """How many seeds get there."""
        return sum(step is not None for step in self.reached[share])


def measure_efficiency(rows: Sequence[Row]) -> list[Efficiency]:
    """The sample-efficiency of every row, given the grid's rows at the end of the budget.

    Raises:
        UserError: an event log cannot be trusted, see `read_curve`.
    """
    dima = {row.sample.task: row for row in rows if row.sample.method == "dima"}
    found = [_measure(row, dima.get(row.sample.task)) for row in rows]
    candidates = {
        number: ((one.row.sample.task, one.row.sample.lineage), float(np.mean(one.areas)))
        for number, one in enumerate(found)
        if one.areas and one.row.sample.complete
    }
    ranked = ranks(candidates, digits=1)
    return [replace(one, rank=ranked.get(number, "")) for number, one in enumerate(found)]


def _measure(row: Row, dima: Row | None) -> Efficiency:
    if not row.statistics:
        return Efficiency(row, [], {}, {}, "")
    curves = [read_curve(record) for record in row.records if record.key.seed in row.sample.returns]
    arrays = [(np.array(list(curve)), np.array(list(curve.values()))) for curve in curves]
    areas = [area_under_curve(*curve) for curve in arrays if len(curve[0]) > 1]
    final, obstacle = _final_return(row, dima)
    targets = {} if final is None else {share: share * final for share in SHARES}
    reached = {share: [steps_to_reach(*curve, target) for curve in arrays] for share, target in targets.items()}
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


def efficiency_table(grid: Grid, efficiencies: Sequence[Efficiency]) -> TextTable:
    """The table of what `measure_efficiency` found. Raises UserError as `label_of`."""
    notes: list[str] = []
    return TextTable(
        title=f"Sample-efficiency, grid {grid.name}",
        explanation=_EXPLANATION,
        heading=_HEADING,
        numeric=_NUMERIC,
        rows=[_texts(one, notes) for one in efficiencies],
        notes=notes,
        label=label_of(one.row for one in efficiencies),
        ranks={(number, "mean return"): one.rank for number, one in enumerate(efficiencies) if one.rank},
    )


def _texts(one: Efficiency, notes: list[str]) -> list[str]:
    sample = one.row.sample
    area = "not run" if not sample.started else NONE
    if one.areas:
        deviation = f"{np.std(one.areas, ddof=1):.1f}" if len(one.areas) > 1 else NONE
        area = f"{np.mean(one.areas):.1f} ± {deviation}"
    remarks = "; ".join(text for text in (one.obstacle, sample.mixture or "", sample.missing) if text and sample.started)
    return [
        sample.task,
        sample.method,
        f"{len(sample.returns)}/{sample.planned}",
        area,
        *(_steps(one, share) for share in SHARES),
        note_mark(remarks, notes).strip(),
    ]


def _steps(one: Efficiency, share: float) -> str:
    if share not in one.reached:
        return NONE
    median = one.median_steps(share)
    steps = f"{median:,.0f}" if median < inf else f"> {one.row.sample.env_steps:,}"
    return f"{steps} ({one.count(share)}/{len(one.reached[share])})"


def _per_seed(read: Callable[[Efficiency], Sequence[object]]) -> Callable[[Efficiency], str]:
    return lambda one: ";".join(map(text_of, read(one)))


EFFICIENCY_COLUMNS: Mapping[str, Callable[[Efficiency], object]] = {
    "synthetic": lambda one: one.row.synthetic,
    "suite": lambda one: one.row.suite,
    "task": lambda one: one.row.sample.task,
    "method": lambda one: one.row.sample.method,
    "env_steps": lambda one: one.row.sample.env_steps,
    "n": lambda one: len(one.row.sample.returns),
    "planned": lambda one: one.row.sample.planned,
    "seeds": lambda one: ";".join(map(str, one.row.sample.returns)),
    "seeds_without_result": lambda one: one.row.sample.missing,
    "areas": _per_seed(lambda one: one.areas),
    "area_mean": lambda one: float(np.mean(one.areas)) if one.areas else None,
    "area_std_ddof1": lambda one: float(np.std(one.areas, ddof=1)) if len(one.areas) > 1 else None,
    **{
        f"{name}_{share:.0%}".rstrip("%"): read
        for share in SHARES
        for name, read in {
            "target": lambda one, share=share: one.targets.get(share),
            "steps_of_seeds_to": _per_seed(
                lambda one, share=share: ["never" if step is None else step for step in one.reached.get(share, ())]
            ),
            "median_steps_to": lambda one, share=share: one.median_steps(share) if share in one.reached else None,
        }.items()
    },
    "obstacle": lambda one: one.obstacle,
    "lineage": lambda one: one.row.sample.lineage,
    "rank": lambda one: one.rank,
}
