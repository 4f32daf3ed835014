"""One line for each method of a suite: its scores over all tasks together, and how probably DIMA is better."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dima.analysis.markup import NONE, TextTable, note_mark
from dima.analysis.ranks import ranks
from dima.analysis.rows import Row, label_of
from dima.analysis.scores import SuiteScores, suite_scores
from dima.analysis.statistics import MIN_SEEDS_FOR_INTERVAL, bootstrap_interval, interquartile_mean, mean_improvement
from dima.grid import Grid

_EXPLANATION = """\
score: final return of a run divided by the paper's final return of dima on the task, so that the paper's dima has 1;
tasks: included/all of the suite; runs: completed on them/planned; IQM, mean: interquartile mean and mean of their scores;
P(dima better): probability that a dima run beats a run of this method, averaged over tasks; [95 %]: bootstrap interval, runs resampled
within each task, if every task has three runs or more.
Best IQM in bold, second best underlined; only methods with every task and every run compete."""
_HEADING = ("suite", "method", "tasks", "runs", "IQM [95 %]", "mean", "P(dima better) [95 %]", "remarks")
_NUMERIC = frozenset({"tasks", "runs", "IQM [95 %]", "mean", "P(dima better) [95 %]"})


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
    """A summary for every method of every suite, from the grid's rows at the end of the budget. Raises UserError as `suite_scores`."""
    return [_summarize(scores) for scores in suite_scores(grid, rows)]


def _summarize(scores: SuiteScores) -> Summary:
    values, pairs = scores.scores, scores.pairs
    together = np.concatenate(values) if values else None
    improvement, improvement_interval = mean_improvement(pairs) if pairs else (None, None)
    enough = all(len(sample) >= MIN_SEEDS_FOR_INTERVAL for pair in pairs for sample in pair)
    return Summary(
        scores=scores,
        iqm=None if together is None else float(interquartile_mean(together)),
        iqm_interval=_pair(bootstrap_interval(values, interquartile_mean)) if values and not scores.few_runs else None,
        mean=None if together is None else float(together.mean()),
        improvement=improvement,
        improvement_interval=_pair(improvement_interval) if improvement_interval is not None and enough else None,
    )


def suite_table(grid: Grid, rows: Sequence[Row], summaries: Sequence[Summary]) -> TextTable:
    """The table of the summaries that `summarize_suites` made of the rows. Raises UserError as `label_of`."""
    notes: list[str] = []
    candidates = {
        number: (summary.scores.suite, summary.iqm)
        for number, summary in enumerate(summaries)
        if summary.iqm is not None and summary.complete
    }
    return TextTable(
        title=f"Scores over the tasks of a suite, grid {grid.name}",
        explanation=_EXPLANATION,
        heading=_HEADING,
        numeric=_NUMERIC,
        rows=[_texts(summary, notes) for summary in summaries],
        notes=notes,
        label=label_of(rows),
        ranks={(number, "IQM [95 %]"): rank for number, rank in ranks(candidates, digits=2).items()},
    )


def _texts(summary: Summary, notes: list[str]) -> list[str]:
    scores = summary.scores
    return [
        scores.suite,
        scores.method,
        f"{len(scores.returns)}/{len(scores.tasks)}",
        f"{scores.runs}/{scores.planned}",
        _with_interval(summary.iqm, summary.iqm_interval),
        NONE if summary.mean is None else f"{summary.mean:z.2f}",
        _with_interval(summary.improvement, summary.improvement_interval),
        note_mark(summary.remarks, notes).strip(),
    ]


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return NONE
    return f"{value:z.2f}" + (f" [{interval[0]:z.2f}, {interval[1]:z.2f}]" if interval else "")


def _pair(bounds: np.ndarray) -> tuple[float, float]:
    low, high = bounds.tolist()
    return low, high


SUITE_COLUMNS: Mapping[str, Callable[[Summary], object]] = {
    "synthetic": lambda summary: summary.scores.synthetic,
    "suite": lambda summary: summary.scores.suite,
    "method": lambda summary: summary.scores.method,
    "tasks": lambda summary: ";".join(summary.scores.returns),
    "tasks_of_suite": lambda summary: len(summary.scores.tasks),
    "runs": lambda summary: summary.scores.runs,
    "runs_planned": lambda summary: summary.scores.planned,
    "iqm": lambda summary: summary.iqm,
    "iqm_low": lambda summary: summary.iqm_interval and summary.iqm_interval[0],
    "iqm_high": lambda summary: summary.iqm_interval and summary.iqm_interval[1],
    "mean": lambda summary: summary.mean,
    "probability_dima_better": lambda summary: summary.improvement,
    "probability_low": lambda summary: summary.improvement_interval and summary.improvement_interval[0],
    "probability_high": lambda summary: summary.improvement_interval and summary.improvement_interval[1],
    "remarks": lambda summary: summary.remarks,
}
