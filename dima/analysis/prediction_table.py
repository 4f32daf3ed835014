"""Open-loop prediction error of the world models (E10) beside the paper's, from the studies that were made of the cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dima.analysis.csv_table import text_of
from dima.analysis.load import CellRecord, load_cells, synthetic_label
from dima.analysis.markup import NONE, TextTable, note_mark
from dima.analysis.ranks import Rank, ranks
from dima.analysis.records import Records
from dima.analysis.reference import PublishedError, read_prediction_errors
from dima.analysis.sample import Sample, study_sample
from dima.analysis.study_files import read_study
from dima.errors import UserError
from dima.grid import CellKey, Grid

STUDY = "studies/prediction.csv"
_EXPLANATION = """\
seeds: studied/planned; ours: absolute error per observation dimension (in its units) on held-out segments, summed over the steps up to the
horizon, averaged over agents, dimensions and segments; mean ± standard deviation (ddof 1) over seeds; paper: mean ± deviation (it does
not say over what).
Smallest error in bold, second smallest underlined, per task; only methods with the same physics and every planned seed compete."""
_HEADING = ("task", "horizon", "method", "seeds", "ours", "paper", "verdict")
_NUMERIC = frozenset({"horizon", "seeds", "ours", "paper"})
_OTHER_DATA = "the paper trains and evaluates on 500,000 transitions each, we on the cell's own data"


@dataclass(frozen=True)
class PredictionRow:
    """A published error and the same of our cells; `sample` holds errors where it says returns."""

    paper: PublishedError
    sample: Sample
    records: list[CellRecord]
    word: str
    reason: str
    rank: Rank = ""

    @property
    def synthetic(self) -> str | None:
        """What the records say of themselves where no run made them, see `synthetic_label`."""
        return synthetic_label(self.records)


def prediction_rows(grid: Grid, source: Path | Records, config_hashes: Mapping[CellKey, str] | None = None) -> list[PredictionRow]:
    """A row for each published error on a task of the grid, in the order of the file.

    Raises:
        UserError: a record or a study cannot be trusted (see `load_cells`, `read_study`), or the paper's numbers are not there.
    """
    tasks = {key.task for key in grid.cells}
    published = [number for number in read_prediction_errors() if number.task in tasks]
    wanted = dict.fromkeys((number.task, number.method) for number in published)
    keys = [key for key in grid.cells if (key.task, key.method) in wanted]
    cells: dict[tuple[str, str], list[CellRecord]] = {place: [] for place in wanted}
    errors: dict[CellKey, dict[int, float]] = {}
    for record in load_cells(grid, keys, source, config_hashes):
        cells[record.key.task, record.key.method].append(record)
        errors[record.key] = _errors(record) if record.state == "completed" else {}
    rows = [_row(grid, number, cells[number.task, number.method], errors) for number in published]
    candidates = {
        index: ((row.paper.task, row.paper.horizon, row.sample.lineage), -float(row.sample.values.mean()))
        for index, row in enumerate(rows)
        if row.sample.complete
    }
    found = ranks(candidates, digits=3)
    return [replace(row, rank=found.get(index, "")) for index, row in enumerate(rows)]


def _errors(record: CellRecord) -> dict[int, float]:
    """The errors of the model on held-out segments by horizon; nothing where the cell was not studied."""
    content = record.records.read(record.key.folder, STUDY)
    if content is None:
        return {}
    place = record.records.place(record.key.folder, STUDY)
    study = read_study(content, place, "prediction")
    if study.synthetic != record.synthetic:
        raise UserError(f"{place} and the summary of its cell do not agree on whether they are synthetic.")
    return {
        int(horizon): numbers["error"]
        for (split, kind, dimension, horizon), numbers in study.rows.items()
        if (split, kind, dimension) == ("held-out", "model", "mean")
    }


def _row(grid: Grid, paper: PublishedError, cells: list[CellRecord], errors: Mapping[CellKey, Mapping[int, float]]) -> PredictionRow:
    task = grid.task(paper.task)
    sample = Sample(paper.task, paper.method, task.env_steps, {}, {}, {})
    if cells:
        sample = study_sample(cells, task.env_steps, lambda record: errors[record.key].get(paper.horizon))
    word, reason = _verdict(sample, task.comparable_with_paper)
    return PredictionRow(paper, sample, cells, word, reason)


def _verdict(sample: Sample, comparable: bool) -> tuple[str, str]:
    """The word and why: what the paper measured on cannot be had, so that `not comparable` is the best there is."""
    if not sample.planned:
        return "not run", "not planned in this grid"
    if not sample.returns:
        return "not run", sample.missing if sample.started else ""
    physics = "" if comparable else f"other physics: {next(iter(sample.summaries.values())).lineage}"
    reasons = (sample.mixture or physics, _OTHER_DATA, sample.missing)
    return "not comparable", "; ".join(reason for reason in reasons if reason)


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
        deviation = f"{sample.values.std(ddof=1):.3f}" if len(sample.returns) > 1 else NONE
        ours = NONE if sample.mixture else f"{sample.values.mean():.3f} ± {deviation}"
    count = f"{len(sample.returns)}/{sample.planned}"
    return [row.paper.task, str(row.paper.horizon), row.paper.method, count, ours, row.paper.text, row.word + note_mark(row.reason, notes)]


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
    "mean": lambda row: float(row.sample.values.mean()) if row.sample.returns and not row.sample.mixture else None,
    "std_ddof1": lambda row: float(np.std(row.sample.values, ddof=1)) if len(row.sample.returns) > 1 and not row.sample.mixture else None,
    "paper_mean": lambda row: row.paper.mean,
    "paper_std": lambda row: row.paper.std,
    "paper_source": lambda row: row.paper.source,
    "verdict": lambda row: row.word,
    "reason": lambda row: row.reason,
    "lineage": lambda row: row.sample.lineage,
    "rank": lambda row: row.rank,
}
