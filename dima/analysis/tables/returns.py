"""The table of returns of one experiment, beside the paper's.

A line for each task, method and number of steps.

The one for machines has every number unrounded, and everything it rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dima.analysis.records.load import Provenance, Summary
from dima.analysis.returns.rows import Row, label_of
from dima.analysis.returns.statistics import Statistics
from dima.analysis.tables.csv_text import text_of
from dima.analysis.tables.markup import NONE, TextTable, note_mark, plus_minus
from dima.config.grid import Grid

TITLES = {"final_returns": "Final returns", "ablation_returns": "Ablation returns"}
_EXPLANATION = """\
seeds: completed/planned; ours: evaluation return after that many environment steps, mean ± standard deviation (ddof 1) over completed
seeds; IQM: interquartile mean with 95 % bootstrap interval, for three seeds or more; paper: mean ± standard deviation (number of runs);
difference: our mean minus the paper's; P(dima better): probability that a dima run beats a run of this method.
Best mean in bold, second best underlined, per task; only methods with the same physics and every planned seed compete."""
_HEADING = (
    "task",
    "method",
    "seeds",
    "env steps",
    "ours",
    "IQM [95 %]",
    "paper",
    "difference",
    "P(dima better)",
    "verdict",
)
_NUMERIC = frozenset(_HEADING) - {"task", "method", "verdict"}


def return_table(grid: Grid, name: str, rows: Sequence[Row]) -> TextTable:
    """The table of the experiment `name` from its rows. Raises UserError as `label_of`."""
    notes: list[str] = []
    return TextTable(
        title=f"{TITLES[name]}, grid {grid.name}",
        explanation=_EXPLANATION,
        heading=_HEADING,
        numeric=_NUMERIC,
        rows=[_texts(row, notes) for row in rows],
        notes=notes,
        label=label_of(rows),
        ranks={(number, "ours"): row.rank for number, row in enumerate(rows) if row.rank},
    )


def _texts(row: Row, notes: list[str]) -> list[str]:
    sample, statistics, paper, verdict = row.sample, row.statistics, row.paper, row.verdict
    ours, iqm = "not run" if verdict.word == "not run" else NONE, NONE
    if statistics:
        ours = plus_minus(statistics.mean, statistics.std_sample)
        interval = statistics.iqm_interval
        iqm = f"{statistics.iqm:.1f}" + (f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else "")
    return [
        sample.task,
        sample.method,
        f"{len(sample.returns)}/{sample.planned}",
        f"{sample.env_steps:,}",
        ours,
        iqm,
        NONE if paper is None else (paper.text or NONE) + note_mark(_remark(paper.source), notes),
        NONE if verdict.difference is None else f"{verdict.difference:+.1f}",
        NONE if row.probability_dima_better is None else f"{row.probability_dima_better:.2f}",
        verdict.word + note_mark(verdict.reason, notes),
    ]


def _remark(source: str) -> str:
    """What has to be known of a published number.

    That it stands in a misprinted row, or why there is none.
    """
    return f"the paper's {source}" if "(" in source else ""


def _per_seed(read: Callable[[Summary], object]) -> Callable[[Row], str]:
    """One value a completed seed, in the order of the seeds."""
    return lambda row: ";".join(text_of(read(summary)) for summary in row.sample.summaries.values())


def _distinct(read: Callable[[Summary], object]) -> Callable[[Row], str]:
    """The different values among the completed seeds."""
    return lambda row: ";".join(sorted({text_of(read(summary)) for summary in row.sample.summaries.values()}))


def _origins(read: Callable[[Provenance], object]) -> Callable[[Row], str]:
    """The different values among all processes that worked on the completed seeds."""
    return lambda row: ";".join(
        sorted(
            {
                text_of(read(process))
                for summary in row.sample.summaries.values()
                for process in summary.provenance
            }
        )
    )


def _statistic(read: Callable[[Statistics], float | None]) -> Callable[[Row], float | None]:
    return lambda row: read(row.statistics) if row.statistics else None


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
    "seeds": lambda row: ";".join(map(str, row.sample.returns)),
    "seeds_without_result": lambda row: ";".join(
        f"{seed} {state}" for seed, state in row.sample.without_result.items()
    ),
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
