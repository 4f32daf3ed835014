"""`suite_summary`: scores over the tasks of a suite, a row a method."""

from __future__ import annotations

from dima.analysis.returns.suite_summary import Summary
from dima.analysis.tables.form import Column, TableForm
from dima.analysis.tables.numbers import fixed, with_interval

SUITE_SUMMARY = TableForm[Summary](
    title="Scores over the tasks of a suite",
    rows=lambda results: results.summaries,
    explanation="""\
score: final return of a run divided by the paper's final return of dima on the task, so that the paper's
dima has 1; tasks: included/all of the suite; runs: completed on them/planned; IQM, mean: interquartile
mean and mean of their scores; P(dima better): probability that a dima run beats a run of this method,
averaged over tasks; [95 %]: bootstrap interval, runs resampled within each task, if every task has three
runs or more.
Best IQM in bold, second best underlined; only methods with every task and every run compete.""",
    columns={
        "suite": Column(lambda row: row.scores.suite, numeric=False),
        "method": Column(lambda row: row.scores.method, numeric=False),
        "tasks": Column(lambda row: f"{len(row.scores.returns)}/{len(row.scores.tasks)}"),
        "runs": Column(lambda row: f"{row.scores.runs}/{row.scores.planned}"),
        "IQM [95 %]": Column(lambda row: with_interval(row.iqm, row.iqm_interval, 2, "z")),
        "mean": Column(lambda row: fixed(row.mean, 2, "z")),
        "P(dima better) [95 %]": Column(
            lambda row: with_interval(row.improvement, row.improvement_interval, 2, "z")
        ),
        "remarks": Column(lambda _row: "", lambda row: row.remarks, numeric=False),
    },
    ranked="IQM [95 %]",
    machine={
        "synthetic": lambda row: row.synthetic,
        "suite": lambda row: row.scores.suite,
        "method": lambda row: row.scores.method,
        "tasks": lambda row: ";".join(row.scores.returns),
        "tasks_of_suite": lambda row: len(row.scores.tasks),
        "runs": lambda row: row.scores.runs,
        "runs_planned": lambda row: row.scores.planned,
        "iqm": lambda row: row.iqm,
        "iqm_low": lambda row: row.iqm_interval and row.iqm_interval[0],
        "iqm_high": lambda row: row.iqm_interval and row.iqm_interval[1],
        "mean": lambda row: row.mean,
        "probability_dima_better": lambda row: row.improvement,
        "probability_low": lambda row: row.improvement_interval and row.improvement_interval[0],
        "probability_high": lambda row: row.improvement_interval and row.improvement_interval[1],
        "remarks": lambda row: row.remarks,
    },
)
