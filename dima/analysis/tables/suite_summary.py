"""The table of scores over the tasks of a suite: a line for each method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dima.analysis.returns.ranks import ranks
from dima.analysis.returns.rows import Row, label_of
from dima.analysis.returns.suite_summary import Summary
from dima.analysis.tables.markup import NONE, TextTable, note_mark
from dima.config.grid import Grid

_EXPLANATION = """\
score: final return of a run divided by the paper's final return of dima on the task, so that the paper's dima has 1;
tasks: included/all of the suite; runs: completed on them/planned; IQM, mean: interquartile mean and mean of their scores;
P(dima better): probability that a dima run beats a run of this method, averaged over tasks; [95 %]: bootstrap interval, runs resampled
within each task, if every task has three runs or more.
Best IQM in bold, second best underlined; only methods with every task and every run compete."""
_HEADING = ("suite", "method", "tasks", "runs", "IQM [95 %]", "mean", "P(dima better) [95 %]", "remarks")
_NUMERIC = frozenset({"tasks", "runs", "IQM [95 %]", "mean", "P(dima better) [95 %]"})


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
