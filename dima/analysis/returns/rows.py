"""The rows of a table of returns: our sample, the paper's number and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dima.analysis.records.files import Records
from dima.analysis.records.load import CellRecord, by_task_and_method, load_cells, synthetic_label
from dima.analysis.reference import (
    RETURN_TABLES,
    PaperNumber,
    PaperNumbers,
    number_for,
    read_paper_numbers,
)
from dima.analysis.returns.compare import Verdict, compare
from dima.analysis.returns.ranks import Rank, with_ranks
from dima.analysis.returns.sample import Sample, earlier_sample, final_sample
from dima.analysis.returns.statistics import Statistics, probability_of_improvement, summarize
from dima.config.grid import CellKey, Grid


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        records: all planned cells of the row.
        statistics: None where no seed is completed or the seeds may not be averaged.
        probability_dima_better: None in DIMA's own rows and where the physics differs from DIMA's.
        rank: of the mean, among complete rows of the same task, steps and physics.
    """

    suite: str
    comparable_with_paper: bool
    sample: Sample
    records: list[CellRecord]
    statistics: Statistics | None
    paper: PaperNumber | None
    verdict: Verdict
    probability_dima_better: float | None
    rank: Rank = ""

    @property
    def synthetic(self) -> str | None:
        """The label of synthetic records, see `synthetic_label`."""
        return synthetic_label(self.records)


def build_rows(
    grid: Grid, experiment: str, source: Path | Records, config_hashes: Mapping[CellKey, str] | None = None
) -> list[Row]:
    """The rows of one experiment in the grid's order.

    A method has a row for its budget and one for every smaller budget at which the paper has a number.

    Raises:
        UserError: a record cannot be trusted (see `load_cells`), or the paper's numbers are missing.
    """
    numbers = read_paper_numbers(experiment)
    grouped = by_task_and_method(load_cells(grid, grid.experiments[experiment], source, config_hashes))
    samples = [sample for records in grouped.values() for sample in _samples(grid, records, numbers)]
    dima = {(sample.task, sample.env_steps): sample for sample in samples if sample.method == "dima"}
    rows = [
        _row(
            grid,
            sample,
            grouped[sample.task, sample.method],
            numbers,
            dima.get((sample.task, sample.env_steps)),
        )
        for sample in samples
    ]
    return with_ranks(rows, _candidate, digits=1)


def final_rows(grid: Grid, experiments: Mapping[str, Sequence[Row]]) -> list[Row]:
    """One row a task and method, at the end of the budget, given the rows of each experiment.

    From a table of returns rather than another experiment, because those have the paper's number.
    """
    rows: dict[tuple[str, str], Row] = {}
    for experiment in sorted(experiments, key=lambda name: name not in RETURN_TABLES):
        for row in experiments[experiment]:
            if row.sample.env_steps == grid.task(row.sample.task).env_steps:
                rows.setdefault((row.sample.task, row.sample.method), row)
    return list(rows.values())


def _samples(grid: Grid, records: list[CellRecord], numbers: PaperNumbers) -> Iterable[Sample]:
    task, method, _ = records[0].key
    budget = grid.task(task).env_steps
    for number in numbers.get((task, method), ()):
        if number.env_steps < budget:
            yield earlier_sample(records, number.env_steps)
    yield final_sample(records, budget)


def _row(
    grid: Grid, sample: Sample, records: list[CellRecord], numbers: PaperNumbers, dima: Sample | None
) -> Row:
    task = grid.task(sample.task)
    paper = number_for(numbers.get((sample.task, sample.method), ()), sample.env_steps)
    return Row(
        suite=task.suite,
        comparable_with_paper=task.comparable_with_paper,
        sample=sample,
        records=records,
        statistics=summarize(sample.values) if sample.returns and not sample.mixture else None,
        paper=paper,
        verdict=compare(sample, paper, task.comparable_with_paper),
        probability_dima_better=_probability(dima, sample),
    )


def _candidate(row: Row) -> tuple[tuple[str, int, str | None], float] | None:
    if row.statistics is None or not row.sample.complete:
        return None
    return (row.sample.task, row.sample.env_steps, row.sample.lineage), row.statistics.mean


def _probability(dima: Sample | None, other: Sample) -> float | None:
    if dima is None or other.method == "dima" or dima.mixture or other.mixture:
        return None
    if dima.lineage is None or dima.lineage != other.lineage:
        return None
    return probability_of_improvement(dima.values, other.values)
