"""`final_returns` and `ablation_returns`: returns and the paper's.

A row is a method on a task after a number of environment steps. The CSV has every number unrounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dima.analysis.records.load import Provenance, Summary
from dima.analysis.returns.rows import Row
from dima.analysis.returns.statistics import Statistics
from dima.analysis.tables.form import Column, TableForm
from dima.analysis.tables.numbers import NONE, exact, fixed, joined, plus_minus, signed, with_interval


def _ours(row: Row) -> str:
    if row.statistics:
        return plus_minus(row.statistics.mean, row.statistics.std_sample)
    return "not run" if row.verdict.word == "not run" else NONE


def iqm(row: Row) -> str:
    """The interquartile mean with its interval."""
    return with_interval(row.statistics.iqm, row.statistics.iqm_interval) if row.statistics else NONE


def _remark(row: Row) -> str:
    """What to know of a published number: that its row has a misprint, or why there is none."""
    return f"the paper's {row.paper.source}" if row.paper and "(" in row.paper.source else ""


def _per_seed(read: Callable[[Summary], object]) -> Callable[[Row], str]:
    """One value a completed seed, in the order of the seeds."""
    return lambda row: joined(map(read, row.sample.summaries.values()))


def _distinct(read: Callable[[Summary], object]) -> Callable[[Row], str]:
    """The different values among the completed seeds."""
    return lambda row: ";".join(sorted({exact(read(summary)) for summary in row.sample.summaries.values()}))


def _origins(read: Callable[[Provenance], object]) -> Callable[[Row], str]:
    """The different values among all processes that worked on the completed seeds."""
    return lambda row: ";".join(
        sorted({exact(read(one)) for own in row.sample.summaries.values() for one in own.provenance})
    )


def _statistic(read: Callable[[Statistics], float | None]) -> Callable[[Row], float | None]:
    return lambda row: read(row.statistics) if row.statistics else None


def _mean_of_last_five(row: Row) -> float | None:
    """Mean over seeds; the summary knows it for the end of the budget only."""
    summaries = row.sample.summaries.values()
    if row.statistics is None or any(summary.budget != row.sample.env_steps for summary in summaries):
        return None
    return sum(summary.mean_of_last_five for summary in summaries) / len(summaries)


FINAL_RETURNS = TableForm[Row](
    title="Final returns",
    rows=lambda results: results.rows("final_returns"),
    explanation="""\
seeds: completed/planned; ours: evaluation return after that many environment steps, mean ± standard
deviation (ddof 1) over completed seeds; IQM: interquartile mean with 95 % bootstrap interval, for three
seeds or more; paper: mean ± standard deviation (number of runs); difference: our mean minus the paper's;
P(dima better): probability that a dima run beats a run of this method.
Best mean in bold, second best underlined, per task; only methods with the same physics and every planned
seed compete.""",
    columns={
        "task": Column(lambda row: row.sample.task, numeric=False),
        "method": Column(lambda row: row.sample.method, numeric=False),
        "seeds": Column(lambda row: row.sample.count),
        "env steps": Column(lambda row: f"{row.sample.env_steps:,}"),
        "ours": Column(_ours),
        "IQM [95 %]": Column(iqm),
        "paper": Column(lambda row: row.paper.text or NONE if row.paper else NONE, _remark),
        "difference": Column(lambda row: signed(row.verdict.difference)),
        "P(dima better)": Column(lambda row: fixed(row.probability_dima_better, 2)),
        "verdict": Column(lambda row: row.verdict.word, lambda row: row.verdict.reason, numeric=False),
    },
    ranked="ours",
    machine={
        "synthetic": lambda row: row.synthetic,
        "suite": lambda row: row.suite,
        "task": lambda row: row.sample.task,
        "method": lambda row: row.sample.method,
        "env_steps": lambda row: row.sample.env_steps,
        "n": lambda row: len(row.sample.returns),
        "planned": lambda row: row.sample.planned,
        "seeds": lambda row: joined(row.sample.returns),
        "seeds_without_result": lambda row: ";".join(
            f"{seed} {state}" for seed, state in row.sample.without_result.items()
        ),
        "returns": lambda row: joined(row.sample.returns.values()),
        "mean": _statistic(lambda statistics: statistics.mean),
        "std_ddof1": _statistic(lambda statistics: statistics.std_sample),
        "std_ddof0": _statistic(lambda statistics: statistics.std_population),
        "iqm": _statistic(lambda statistics: statistics.iqm),
        "iqm_low": _statistic(lambda statistics: statistics.iqm_interval and statistics.iqm_interval[0]),
        "iqm_high": _statistic(lambda statistics: statistics.iqm_interval and statistics.iqm_interval[1]),
        "mean_of_last_five": _mean_of_last_five,
        "probability_dima_better": lambda row: row.probability_dima_better,
        "paper_env_steps": lambda row: row.paper and row.paper.env_steps,
        "paper_mean": lambda row: row.paper and row.paper.mean,
        "paper_std": lambda row: row.paper and row.paper.std,
        "paper_n": lambda row: row.paper and row.paper.runs,
        "paper_source": lambda row: row.paper and row.paper.source,
        "difference": lambda row: row.verdict.difference,
        "verdict": lambda row: row.verdict.word,
        "reason": lambda row: row.verdict.reason,
        "rank": lambda row: row.rank,
        "engine": _distinct(lambda summary: summary.engine),
        "lineage": _distinct(lambda summary: summary.lineage),
        "comparable_with_paper": lambda row: row.comparable_with_paper,
        "commits": _origins(lambda process: process.commit),
        "dirty": _origins(lambda process: process.dirty),
        "image": _origins(lambda process: process.image),
        "lock": _origins(lambda process: process.lock),
        "hardware": _origins(lambda process: process.hardware),
        "attempts": _per_seed(lambda summary: summary.attempts),
        "wall_seconds": _per_seed(lambda summary: summary.wall_seconds),
    },
)
ABLATION_RETURNS = replace(
    FINAL_RETURNS, title="Ablation returns", rows=lambda results: results.rows("ablation_returns")
)
