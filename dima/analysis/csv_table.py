"""The table for machines: every number of a row unrounded for reading, and everything it rests on."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from dima.analysis.load import Provenance, Summary
from dima.analysis.rows import Row
from dima.analysis.statistics import Statistics

Line = TypeVar("Line")


def to_csv(rows: Sequence[Line], columns: Mapping[str, Callable[[Line], object]]) -> str:
    """One line a row. Values that differ between seeds are joined by `;`; what is unknown or may not be computed is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([text_of(read(row)) for read in columns.values()] for row in rows)
    return text.getvalue()


def text_of(value: object) -> str:
    """How a table for machines writes a value."""
    # nine significant digits: equal on every machine, whatever the order of summation did to the last bits
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)


def _per_seed(read: Callable[[Summary], object]) -> Callable[[Row], str]:
    """One value a completed seed, in the order of the seeds."""
    return lambda row: ";".join(text_of(read(summary)) for summary in row.sample.summaries.values())


def _distinct(read: Callable[[Summary], object]) -> Callable[[Row], str]:
    """The different values among the completed seeds."""
    return lambda row: ";".join(sorted({text_of(read(summary)) for summary in row.sample.summaries.values()}))


def _origins(read: Callable[[Provenance], object]) -> Callable[[Row], str]:
    """The different values among all processes that worked on the completed seeds."""
    return lambda row: ";".join(
        sorted({text_of(read(process)) for summary in row.sample.summaries.values() for process in summary.provenance})
    )


def _statistic(read: Callable[[Statistics], float | None]) -> Callable[[Row], float | None]:
    return lambda row: read(row.statistics) if row.statistics else None


def _seeds(seeds: Iterable[int]) -> str:
    return ";".join(map(str, seeds))


def _mean_of_last_five(row: Row) -> float | None:
    """Mean over seeds; the summary knows it for the end of the budget only."""
    summaries = row.sample.summaries.values()
    if row.statistics is None or any(summary.budget != row.sample.env_steps for summary in summaries):
        return None
    return sum(summary.mean_of_last_five for summary in summaries) / len(summaries)


RETURN_COLUMNS: Mapping[str, Callable[[Row], object]] = {
    "synthetic": lambda row: row.synthetic,
    "suite": lambda row: row.suite,
    "task": lambda row: row.sample.task,
    "method": lambda row: row.sample.method,
    "env_steps": lambda row: row.sample.env_steps,
    "n": lambda row: len(row.sample.returns),
    "planned": lambda row: row.sample.planned,
    "seeds": lambda row: _seeds(row.sample.returns),
    "seeds_without_result": lambda row: ";".join(f"{seed} {state}" for seed, state in row.sample.without_result.items()),
    "returns": lambda row: ";".join(map(text_of, row.sample.returns.values())),
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
}
