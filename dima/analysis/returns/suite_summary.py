"""The scores of a method over the tasks of a suite, and how probably DIMA is better."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dima.analysis.returns.ranks import Rank, with_ranks
from dima.analysis.returns.rows import Row
from dima.analysis.returns.scores import SuiteScores, suite_scores
from dima.analysis.returns.statistics import (
    MIN_SEEDS_FOR_INTERVAL,
    bootstrap_interval,
    interquartile_mean,
    mean_improvement,
)
from dima.config.grid import Grid


@dataclass(frozen=True)
class Summary:
    """The statistics of a method in a suite; None where its runs do not allow one."""

    scores: SuiteScores
    iqm: float | None
    iqm_interval: tuple[float, float] | None
    mean: float | None
    improvement: float | None
    improvement_interval: tuple[float, float] | None
    rank: Rank = ""

    @property
    def synthetic(self) -> str | None:
        """The label of synthetic records."""
        return self.scores.synthetic

    @property
    def complete(self) -> bool:
        """Whether every planned run counts, on every task of the suite."""
        return not self.scores.left_out and self.scores.runs == self.scores.planned

    @property
    def remarks(self) -> str:
        """Which tasks do not count, or count less, and why."""
        scores = self.scores
        tasks: dict[str, list[str]] = defaultdict(list)
        for task, reason in scores.left_out.items():
            tasks[f"left out, {reason}"].append(task)
        for task, missing in scores.missing.items():
            tasks[missing].append(task)
        for task in scores.few_runs:
            tasks["fewer than three runs"].append(task)
        for task, reason in scores.units_only.items():
            tasks[f"divided by the paper's dima, not comparable, {reason}"].append(task)
        for task in scores.returns:
            if task not in scores.units:
                tasks["no number in the paper to divide by"].append(task)
            if task not in scores.dima:
                tasks["no run of dima"].append(task)
        return "; ".join(f"{', '.join(named)}: {reason}" for reason, named in tasks.items())


def summarize_suites(grid: Grid, rows: Sequence[Row]) -> list[Summary]:
    """Every method in every suite, from the rows at the end of the budget. Raises as `suite_scores`."""
    return with_ranks(
        map(_summarize, suite_scores(grid, rows)),
        lambda one: (one.scores.suite, one.iqm) if one.iqm is not None and one.complete else None,
        digits=2,
    )


def _summarize(scores: SuiteScores) -> Summary:
    values, pairs = scores.scores, scores.pairs
    together = np.concatenate(values) if values else None
    intervals = bool(values) and not scores.few_runs
    improvement, bounds = mean_improvement(pairs) if pairs else (None, None)
    enough = all(len(sample) >= MIN_SEEDS_FOR_INTERVAL for pair in pairs for sample in pair)
    return Summary(
        scores=scores,
        iqm=None if together is None else float(interquartile_mean(together)),
        iqm_interval=_pair(bootstrap_interval(values, interquartile_mean)) if intervals else None,
        mean=None if together is None else float(together.mean()),
        improvement=improvement,
        improvement_interval=_pair(bounds) if bounds is not None and enough else None,
    )


def _pair(bounds: np.ndarray) -> tuple[float, float]:
    low, high = bounds.tolist()
    return low, high
