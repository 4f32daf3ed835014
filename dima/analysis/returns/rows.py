"""The rows of a table: for each task and method of an experiment, our sample, the paper's number and the
verdict.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dima.analysis.records.files import Records
from dima.analysis.records.load import CellRecord, load_cells, synthetic_label
from dima.analysis.reference import (
    RETURN_TABLES,
    PaperNumber,
    PaperNumbers,
    number_beside,
    read_paper_numbers,
)
from dima.analysis.returns.compare import Verdict, compare
from dima.analysis.returns.ranks import Rank, ranks
from dima.analysis.returns.sample import Sample, earlier_sample, final_sample
from dima.analysis.returns.statistics import Statistics, probability_of_improvement, summarize
from dima.config.grid import CellKey, Grid


@dataclass(frozen=True)
class Row:
    """One line of a table.

    `statistics` is None where nothing is completed or the seeds may not be pooled. `records` are all planned
    cells of the row. `probability_dima_better` compares DIMA's runs with this row's; None in DIMA's own rows
    and where the two do not share the physics. `rank` is that of the mean among the rows of the same task,
    steps and physics that have all their seeds.
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
        """What the row's records say of themselves where no run made them, see `synthetic_label`."""
        return synthetic_label(self.records)


def label_of(rows: Iterable[Row]) -> str | None:
    """What everything made of these rows must say of them, see `synthetic_label`.

    Raises UserError as it does.
    """
    return synthetic_label(record for row in rows for record in row.records)


def build_rows(
    grid: Grid, experiment: str, source: Path | Records, config_hashes: Mapping[CellKey, str] | None = None
) -> list[Row]:
    """The rows of one experiment in the grid's order.

    A method has a row for its whole budget and one for every smaller budget at which the paper gives a
    number.

    Raises:
        UserError: a record cannot be trusted (see `load_cells`), or the paper's numbers are not there.
    """
    numbers = read_paper_numbers(experiment)
    grouped: dict[tuple[str, str], list[CellRecord]] = defaultdict(list)
    for record in load_cells(grid, grid.experiments[experiment], source, config_hashes):
        grouped[record.key.task, record.key.method].append(record)
    samples = [sample for records in grouped.values() for sample in _samples(grid, records, numbers)]
    dima = {(sample.task, sample.env_steps): sample for sample in samples if sample.method == "dima"}
    return _ranked(
        [
            _row(
                grid,
                sample,
                grouped[sample.task, sample.method],
                numbers,
                dima.get((sample.task, sample.env_steps)),
            )
            for sample in samples
        ]
    )


def final_rows(grid: Grid, experiments: Mapping[str, Sequence[Row]]) -> list[Row]:
    """One row a task and method, at the end of the budget.

    From the first table that has it, because tables bring the paper's number.

    Args:
        grid: of the rows.
        experiments: the rows of each of the grid's experiments, as `build_rows` gives them.
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
    paper = number_beside(numbers.get((sample.task, sample.method), ()), sample.env_steps)
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


def _ranked(rows: Sequence[Row]) -> list[Row]:
    candidates = {
        index: ((row.sample.task, row.sample.env_steps, row.sample.lineage), row.statistics.mean)
        for index, row in enumerate(rows)
        if row.statistics and row.sample.complete
    }
    found = ranks(candidates, digits=1)
    return [replace(row, rank=found.get(index, "")) for index, row in enumerate(rows)]


def _probability(dima: Sample | None, other: Sample) -> float | None:
    if (
        dima is None
        or other.method == "dima"
        or not dima.returns
        or not other.returns
        or dima.mixture
        or other.mixture
    ):
        return None
    lineages = {summary.lineage for sample in (dima, other) for summary in sample.summaries.values()}
    return probability_of_improvement(dima.values, other.values) if len(lineages) == 1 else None
