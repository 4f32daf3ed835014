"""Scores that several tasks share: a run's final return over the paper's final return of DIMA on the task, so that 1 is what the paper has.

A task counts for a method where its runs may be averaged and share DIMA's physics. Elsewhere it is left out, and why is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dima.analysis.paths import tasks_by_suite
from dima.analysis.reference import PaperNumbers, number_beside, read_paper_numbers
from dima.analysis.rows import Row
from dima.analysis.statistics import MIN_SEEDS_FOR_INTERVAL, Returns
from dima.grid import Grid


@dataclass(frozen=True)
class SuiteScores:
    """The runs of one method on the tasks of a suite.

    Attributes:
        tasks: all of the suite's in the grid.
        returns: final returns by task that counts; `units` what they are divided by, for every task of the suite where the paper has one.
        beside: DIMA's final returns, where it has any, on the tasks that count.
        left_out: why the other tasks do not count.
        missing: what became of the seeds that are missing on the tasks that count, where there are such.
        planned: seeds of the method in the suite.
    """

    suite: str
    method: str
    tasks: Sequence[str]
    returns: dict[str, Returns]
    units: dict[str, float]
    beside: dict[str, Returns]
    left_out: dict[str, str]
    missing: dict[str, str]
    planned: int
    synthetic: str | None

    @property
    def runs(self) -> int:
        """Number of runs that count."""
        return sum(map(len, self.returns.values()))

    @property
    def scores(self) -> list[Float[np.ndarray, " _runs"]]:
        """The scores of each task that counts; nothing where one of them has no unit."""
        if not self.returns.keys() <= self.units.keys():
            return []
        return [returns / self.units[task] for task, returns in self.returns.items()]

    @property
    def pairs(self) -> list[tuple[Returns, Returns]]:
        """DIMA's returns and this method's on each task that both have; none for DIMA itself."""
        return [] if self.method == "dima" else [(self.beside[task], self.returns[task]) for task in self.beside]

    @property
    def few_runs(self) -> list[str]:
        """The tasks that count with too few runs for an interval."""
        return [task for task, returns in self.returns.items() if len(returns) < MIN_SEEDS_FOR_INTERVAL]


def suite_scores(grid: Grid, rows: Sequence[Row]) -> list[SuiteScores]:
    """The scores of every method in every suite of the grid, in its order, from its rows at the end of the budget (`final_rows`).

    Raises:
        UserError: the paper's numbers are not there.
    """
    numbers = read_paper_numbers("final_returns")
    by_place = {(row.sample.task, row.sample.method): row for row in rows}
    found = []
    for suite, tasks in tasks_by_suite(grid).items():
        units = _units(grid, tasks, numbers)
        for method in dict.fromkeys(row.sample.method for row in rows if row.suite == suite):
            found.append(_scores(suite, method, tasks, units, by_place))
    return found


def _units(grid: Grid, tasks: Sequence[str], numbers: PaperNumbers) -> dict[str, float]:
    """The paper's final return of DIMA by task."""
    beside = {task: number_beside(numbers.get((task, "dima"), ()), grid.task(task).env_steps) for task in tasks}
    return {task: number.mean for task, number in beside.items() if number and number.mean}


def _scores(suite: str, method: str, tasks: Sequence[str], units: dict[str, float], rows: dict[tuple[str, str], Row]) -> SuiteScores:
    own = {task: rows[task, method] for task in tasks if (task, method) in rows}
    left_out = {task: reason for task in tasks if (reason := _obstacle(own.get(task), rows.get((task, "dima"))))}
    counted = {task: row for task, row in own.items() if task not in left_out}
    dima = {task: rows[task, "dima"] for task in counted if (task, "dima") in rows}
    return SuiteScores(
        suite=suite,
        method=method,
        tasks=tasks,
        returns={task: row.sample.values for task, row in counted.items()},
        units=units,
        beside={task: row.sample.values for task, row in dima.items() if row.statistics},
        left_out=left_out,
        missing={task: row.sample.missing for task, row in counted.items() if row.sample.missing},
        planned=sum(row.sample.planned for row in own.values()),
        synthetic=next((row.synthetic for row in own.values() if row.synthetic), None),
    )


def _obstacle(row: Row | None, dima: Row | None) -> str:
    """Why a method's runs on a task do not count, nothing where they do."""
    if row is None:
        return "not planned"
    if not row.statistics:
        return row.sample.mixture or (row.sample.missing if row.sample.started else "not run")
    if dima is not None and dima.sample.lineage not in (None, row.sample.lineage):
        return "other physics than dima's"
    return ""
