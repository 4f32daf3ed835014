"""`sample_efficiency`: the return over training, and when methods reach a share of DIMA's final return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from dima.analysis.returns.sample_efficiency import SHARES, Efficiency
from dima.analysis.tables.form import Column, TableForm
from dima.analysis.tables.numbers import NONE, joined, percent, plus_minus


def _area(one: Efficiency) -> str:
    if one.area is not None:
        return plus_minus(one.area, one.area_deviation)
    return NONE if one.row.sample.started else "not run"


def _remarks(one: Efficiency) -> str:
    sample = one.row.sample
    return "; ".join(
        text for text in (one.obstacle, sample.mixture or "", sample.missing) if text and sample.started
    )


def _steps(share: float) -> Callable[[Efficiency], str]:
    def text(one: Efficiency) -> str:
        median = one.median_steps(share)
        if median is None:
            return NONE
        steps = f"{median:,.0f}" if median < inf else f"> {one.row.sample.env_steps:,}"
        return f"{steps} ({one.count(share)}/{len(one.reached[share])})"

    return text


def _steps_of_seeds(one: Efficiency, share: float) -> Sequence[object]:
    return ["never" if step is None else step for step in one.reached.get(share, ())]


def _of_share(share: float) -> dict[str, Callable[[Efficiency], object]]:
    """The columns for machines of one share."""
    number = percent(share).rstrip("%")
    return {
        f"target_{number}": lambda one: one.targets.get(share),
        f"steps_of_seeds_to_{number}": lambda one: joined(_steps_of_seeds(one, share)),
        f"median_steps_to_{number}": lambda one: one.median_steps(share),
    }


SAMPLE_EFFICIENCY = TableForm[Efficiency](
    title="Sample-efficiency",
    rows=lambda results: results.efficiencies,
    explanation="""\
seeds: completed/planned; mean return: return averaged over all of training (area under a seed's learning
curve, divided by its steps), mean ± standard deviation (ddof 1) over completed seeds; steps to 50 %, 90
%: environment steps until an evaluation first reaches that share of the final return of our dima on the
task (same physics), median over seeds, in brackets how many seeds reach it; > budget: half of the seeds
or more never do.
Best mean in bold, second best underlined, per task; only methods with the same physics and every planned
seed compete.""",
    columns={
        "task": Column(lambda one: one.row.sample.task, numeric=False),
        "method": Column(lambda one: one.row.sample.method, numeric=False),
        "seeds": Column(lambda one: one.row.sample.count),
        "mean return": Column(_area),
        **{f"steps to {percent(share).replace('%', ' %')}": Column(_steps(share)) for share in SHARES},
        "remarks": Column(lambda _one: "", _remarks, numeric=False),
    },
    ranked="mean return",
    machine={
        "synthetic": lambda one: one.synthetic,
        "suite": lambda one: one.row.suite,
        "task": lambda one: one.row.sample.task,
        "method": lambda one: one.row.sample.method,
        "env_steps": lambda one: one.row.sample.env_steps,
        "n": lambda one: len(one.row.sample.returns),
        "planned": lambda one: one.row.sample.planned,
        "seeds": lambda one: joined(one.row.sample.returns),
        "seeds_without_result": lambda one: one.row.sample.missing,
        "areas": lambda one: joined(one.areas),
        "area_mean": lambda one: one.area,
        "area_std_ddof1": lambda one: one.area_deviation,
        **{name: read for share in SHARES for name, read in _of_share(share).items()},
        "obstacle": lambda one: one.obstacle,
        "lineage": lambda one: one.row.sample.lineage,
        "rank": lambda one: one.rank,
    },
)
