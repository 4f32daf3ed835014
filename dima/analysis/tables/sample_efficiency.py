"""The table of sample-efficiency.

How much is returned over all of training, and when a share of DIMA's final return is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf

import numpy as np

from dima.analysis.returns.rows import label_of
from dima.analysis.returns.sample_efficiency import SHARES, Efficiency
from dima.analysis.tables.csv_text import text_of
from dima.analysis.tables.markup import NONE, TextTable, note_mark, plus_minus
from dima.config.grid import Grid

_EXPLANATION = """\
seeds: completed/planned; mean return: return averaged over all of training (area under a seed's learning curve, divided by its steps),
mean ± standard deviation (ddof 1) over completed seeds; steps to 50 %, 90 %: environment steps until an evaluation first reaches that share
of the final return of our dima on the task (same physics), median over seeds, in brackets how many seeds reach it; > budget: half of
the seeds or more never do.
Best mean in bold, second best underlined, per task; only methods with the same physics and every planned seed compete."""
_HEADING = (
    "task",
    "method",
    "seeds",
    "mean return",
    *(f"steps to {share:.0%}".replace("%", " %") for share in SHARES),
    "remarks",
)
_NUMERIC = frozenset(_HEADING) - {"task", "method", "remarks"}


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
        area = plus_minus(float(np.mean(one.areas)), _deviation(one))
    remarks = "; ".join(
        text for text in (one.obstacle, sample.mixture or "", sample.missing) if text and sample.started
    )
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


def _deviation(one: Efficiency) -> float | None:
    return float(np.std(one.areas, ddof=1)) if len(one.areas) > 1 else None


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
    "area_std_ddof1": _deviation,
    **{
        f"{name}_{share:.0%}".rstrip("%"): read
        for share in SHARES
        for name, read in {
            "target": lambda one, share=share: one.targets.get(share),
            "steps_of_seeds_to": _per_seed(
                lambda one, share=share: [
                    "never" if step is None else step for step in one.reached.get(share, ())
                ]
            ),
            "median_steps_to": lambda one, share=share: (
                one.median_steps(share) if share in one.reached else None
            ),
        }.items()
    },
    "obstacle": lambda one: one.obstacle,
    "lineage": lambda one: one.row.sample.lineage,
    "rank": lambda one: one.rank,
}
