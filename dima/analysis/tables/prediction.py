"""The table of open-loop prediction errors beside the paper's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dima.analysis.records.load import synthetic_label
from dima.analysis.studies.prediction import PredictionRow
from dima.analysis.tables.csv_text import text_of
from dima.analysis.tables.markup import NONE, TextTable, note_mark, plus_minus
from dima.config.grid import Grid

_EXPLANATION = """\
seeds: studied/planned; ours: absolute error per observation dimension (in its units) on held-out segments, summed over the steps up to the
horizon, averaged over agents, dimensions and segments; mean ± standard deviation (ddof 1) over seeds; paper: mean ± deviation (it does
not say over what).
Smallest error in bold, second smallest underlined, per task; only methods with the same physics and every planned seed compete."""
_HEADING = ("task", "horizon", "method", "seeds", "ours", "paper", "verdict")
_NUMERIC = frozenset({"horizon", "seeds", "ours", "paper"})


def prediction_table(grid: Grid, rows: Sequence[PredictionRow]) -> TextTable:
    """The table of the rows. Raises UserError as `synthetic_label`."""
    notes: list[str] = []
    return TextTable(
        title=f"Prediction error, grid {grid.name}",
        explanation=_EXPLANATION,
        heading=_HEADING,
        numeric=_NUMERIC,
        rows=[_texts(row, notes) for row in rows],
        notes=notes,
        label=synthetic_label(record for row in rows for record in row.records),
        ranks={(number, "ours"): row.rank for number, row in enumerate(rows) if row.rank},
    )


def _texts(row: PredictionRow, notes: list[str]) -> list[str]:
    sample, ours = row.sample, "not run"
    if sample.returns:
        deviation = float(sample.values.std(ddof=1)) if len(sample.returns) > 1 else None
        ours = NONE if sample.mixture else plus_minus(float(sample.values.mean()), deviation, digits=3)
    count = f"{len(sample.returns)}/{sample.planned}"
    return [
        row.paper.task,
        str(row.paper.horizon),
        row.paper.method,
        count,
        ours,
        row.paper.text,
        row.word + note_mark(row.reason, notes),
    ]


PREDICTION_COLUMNS: Mapping[str, Callable[[PredictionRow], object]] = {
    "synthetic": lambda row: row.synthetic,
    "task": lambda row: row.paper.task,
    "horizon": lambda row: row.paper.horizon,
    "method": lambda row: row.paper.method,
    "n": lambda row: len(row.sample.returns),
    "planned": lambda row: row.sample.planned,
    "seeds": lambda row: ";".join(map(str, row.sample.returns)),
    "seeds_without_result": lambda row: row.sample.missing,
    "errors": lambda row: ";".join(map(text_of, row.sample.returns.values())),
    "mean": lambda row: (
        float(row.sample.values.mean()) if row.sample.returns and not row.sample.mixture else None
    ),
    "std_ddof1": lambda row: (
        float(np.std(row.sample.values, ddof=1))
        if len(row.sample.returns) > 1 and not row.sample.mixture
        else None
    ),
    "paper_mean": lambda row: row.paper.mean,
    "paper_std": lambda row: row.paper.std,
    "paper_source": lambda row: row.paper.source,
    "verdict": lambda row: row.word,
    "reason": lambda row: row.reason,
    "lineage": lambda row: row.sample.lineage,
    "rank": lambda row: row.rank,
}
