"""`prediction_error`: open-loop prediction errors and the paper's."""

from __future__ import annotations

from dima.analysis.studies.prediction import PredictionRow
from dima.analysis.tables.form import Column, TableForm
from dima.analysis.tables.numbers import NONE, joined, plus_minus


def _ours(row: PredictionRow) -> str:
    if not row.sample.returns:
        return "not run"
    return NONE if row.mean is None else plus_minus(row.mean, row.deviation, digits=3)


PREDICTION_ERROR = TableForm[PredictionRow](
    title="Prediction error",
    rows=lambda results: results.predictions,
    explanation="""\
seeds: studied/planned; ours: absolute error per observation dimension (in its units) on held-out
segments, summed over the steps up to the horizon, averaged over agents, dimensions and segments; mean ±
standard deviation (ddof 1) over seeds; paper: mean ± deviation (it does not say over what).
Smallest error in bold, second smallest underlined, per task; only methods with the same physics and
every planned seed compete.""",
    columns={
        "task": Column(lambda row: row.paper.task, numeric=False),
        "horizon": Column(lambda row: str(row.paper.horizon)),
        "method": Column(lambda row: row.paper.method, numeric=False),
        "seeds": Column(lambda row: row.sample.count),
        "ours": Column(_ours),
        "paper": Column(lambda row: row.paper.text),
        "verdict": Column(lambda row: row.word, lambda row: row.reason, numeric=False),
    },
    ranked="ours",
    machine={
        "synthetic": lambda row: row.synthetic,
        "task": lambda row: row.paper.task,
        "horizon": lambda row: row.paper.horizon,
        "method": lambda row: row.paper.method,
        "n": lambda row: len(row.sample.returns),
        "planned": lambda row: row.sample.planned,
        "seeds": lambda row: joined(row.sample.returns),
        "seeds_without_result": lambda row: row.sample.missing,
        "errors": lambda row: joined(row.sample.returns.values()),
        "mean": lambda row: row.mean,
        "std_ddof1": lambda row: row.deviation,
        "paper_mean": lambda row: row.paper.mean,
        "paper_std": lambda row: row.paper.std,
        "paper_source": lambda row: row.paper.source,
        "verdict": lambda row: row.word,
        "reason": lambda row: row.reason,
        "lineage": lambda row: row.sample.lineage,
        "rank": lambda row: row.rank,
    },
)
