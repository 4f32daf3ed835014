"""One line for each method of a suite.

Its scores over all tasks together, and how probably DIMA is better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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

    @property
    def complete(self) -> bool:
        """Whether every run that is planned counts, on every task of the suite."""
        return not self.scores.left_out and self.scores.runs == self.scores.planned

    @property
    def remarks(self) -> str:
        """Which tasks do not count, or count less, and why."""
        reasons: dict[str, list[str]] = defaultdict(list)
        for task, reason in self.scores.left_out.items():
            reasons[f"left out, {reason}"].append(task)
        for task, missing in self.scores.missing.items():
            reasons[missing].append(task)
        for task in self.scores.few_runs:
            reasons["fewer than three runs"].append(task)
        for task, reason in self.scores.units_only.items():
            reasons[f"divided by the paper's dima, not comparable, {reason}"].append(task)
        for task in self.scores.returns:
            if task not in self.scores.units:
                reasons["no number in the paper to divide by"].append(task)
            if task not in self.scores.beside:
                reasons["no run of dima"].append(task)
        return "; ".join(f"{', '.join(tasks)}: {reason}" for reason, tasks in reasons.items())


def summarize_suites(grid: Grid, rows: Sequence[Row]) -> list[Summary]:
    """A summary for every method of every suite, from the grid's rows at the end of the budget.

    Raises UserError as `suite_scores`.
    """
    return [_summarize(scores) for scores in suite_scores(grid, rows)]


def _summarize(scores: SuiteScores) -> Summary:
    values, pairs = scores.scores, scores.pairs
    together = np.concatenate(values) if values else None
    improvement, improvement_interval = mean_improvement(pairs) if pairs else (None, None)
    enough = all(len(sample) >= MIN_SEEDS_FOR_INTERVAL for pair in pairs for sample in pair)
    return Summary(
        scores=scores,
        iqm=None if together is None else float(interquartile_mean(together)),
        iqm_interval=_pair(bootstrap_interval(values, interquartile_mean))
        if values and not scores.few_runs
        else None,
        mean=None if together is None else float(together.mean()),
        improvement=improvement,
        improvement_interval=_pair(improvement_interval)
        if improvement_interval is not None and enough
        else None,
    )


def _pair(bounds: np.ndarray) -> tuple[float, float]:
    low, high = bounds.tolist()
    return low, high
