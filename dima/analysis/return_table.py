"""The table of returns of one experiment, beside the paper's: a line for each task, method and number of steps."""

from __future__ import annotations

from collections.abc import Sequence

from dima.analysis.markup import NONE, TextTable, note_mark
from dima.analysis.rows import Row, label_of
from dima.grid import Grid

TITLES = {"final_returns": "Final returns", "ablation_returns": "Ablation returns"}
_EXPLANATION = """\
seeds: completed/planned; ours: evaluation return after that many environment steps, mean ± standard deviation (ddof 1) over completed
seeds; IQM: interquartile mean with 95 % bootstrap interval, for three seeds or more; paper: mean ± standard deviation (number of runs);
difference: our mean minus the paper's; P(dima better): probability that a dima run beats a run of this method.
Best mean in bold, second best underlined, per task; only methods with the same physics and every planned seed compete."""
_HEADING = ("task", "method", "seeds", "env steps", "ours", "IQM [95 %]", "paper", "difference", "P(dima better)", "verdict")
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
        ours = _plus_minus(statistics.mean, statistics.std_sample)
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
    """What has to be known of a published number: that it stands in a misprinted row, or why there is none."""
    return f"the paper's {source}" if "(" in source else ""


def _plus_minus(mean: float, std: float | None) -> str:
    return f"{mean:.1f} ± {NONE if std is None else f'{std:.1f}'}"
