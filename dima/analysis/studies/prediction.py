"""Open-loop prediction errors of the world models, from the studies of the cells, and the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dima.analysis.records.files import Records
from dima.analysis.records.load import CellRecord, by_task_and_method, load_cells, synthetic_label
from dima.analysis.reference import PublishedError, read_prediction_errors
from dima.analysis.returns.ranks import Rank, with_ranks
from dima.analysis.returns.sample import Sample, study_sample
from dima.analysis.returns.statistics import deviation
from dima.analysis.studies.files import study_of
from dima.config.grid import CellKey, Grid

_OTHER_DATA = "the paper trains and evaluates on 500,000 transitions each, we on the cell's own data"


@dataclass(frozen=True)
class PredictionRow:
    """A published error and ours: the `returns` of `sample` are errors."""

    paper: PublishedError
    sample: Sample
    records: list[CellRecord]
    word: str
    reason: str
    rank: Rank = ""

    @property
    def synthetic(self) -> str | None:
        """The label of synthetic records, see `synthetic_label`."""
        return synthetic_label(self.records)

    @property
    def mean(self) -> float | None:
        """The mean over seeds, None where there is none or they may not be averaged."""
        return float(self.sample.values.mean()) if self.sample.returns and not self.sample.mixture else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation over seeds (ddof 1)."""
        return None if self.sample.mixture else deviation(self.sample.values)


def prediction_rows(
    grid: Grid, source: Path | Records, config_hashes: Mapping[CellKey, str] | None = None
) -> list[PredictionRow]:
    """A row for each published error on a task of the grid, in the order of the file.

    Raises:
        UserError: a record or a study cannot be trusted (see `load_cells`, `read_study`), or the paper's
            numbers are missing.
    """
    tasks = {key.task for key in grid.cells}
    published = [number for number in read_prediction_errors() if number.task in tasks]
    wanted = dict.fromkeys((number.task, number.method) for number in published)
    keys = [key for key in grid.cells if (key.task, key.method) in wanted]
    found = load_cells(grid, keys, source, config_hashes)
    errors = {record.key: _errors(record) if record.state == "completed" else {} for record in found}
    cells = by_task_and_method(found)
    rows = [_row(grid, number, cells.get((number.task, number.method), []), errors) for number in published]
    return with_ranks(rows, _candidate, digits=3)


def _candidate(row: PredictionRow) -> tuple[tuple[str, int, str | None], float] | None:
    if row.mean is None or not row.sample.complete:
        return None
    return (row.paper.task, row.paper.horizon, row.sample.lineage), -row.mean


def _errors(record: CellRecord) -> dict[int, float]:
    """The errors of the model on held-out segments by horizon; empty where the cell was not studied."""
    study = study_of(record, "prediction")
    if study is None:
        return {}
    errors = study.rows.query("split == 'held-out' and kind == 'model' and dimension == 'mean'")["error"]
    return errors.droplevel(["split", "kind", "dimension"]).to_dict()


def _row(
    grid: Grid, paper: PublishedError, cells: list[CellRecord], errors: Mapping[CellKey, Mapping[int, float]]
) -> PredictionRow:
    task = grid.task(paper.task)
    sample = Sample(paper.task, paper.method, task.env_steps, {}, {}, {})
    if cells:
        sample = study_sample(cells, task.env_steps, lambda record: errors[record.key].get(paper.horizon))
    word, reason = _verdict(sample, task.comparable_with_paper)
    return PredictionRow(paper, sample, cells, word, reason)


def _verdict(sample: Sample, comparable: bool) -> tuple[str, str]:
    """The word and the reason; `not comparable` at best, since the paper's data is not published."""
    if not sample.planned:
        return "not run", "not planned in this grid"
    if not sample.returns:
        return "not run", sample.missing if sample.started else ""
    physics = "" if comparable else f"other physics: {next(iter(sample.summaries.values())).lineage}"
    reasons = (sample.mixture or physics, _OTHER_DATA, sample.missing)
    return "not comparable", "; ".join(reason for reason in reasons if reason)
