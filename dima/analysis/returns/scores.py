"""Scores that several tasks share: a run's final return over the paper's final return of DIMA on the task.

The paper's DIMA has 1. A task counts for a method where its runs may be averaged and share DIMA's physics; a
task that does not count is named with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dima.analysis.paths import tasks_by_suite
from dima.analysis.reference import PaperNumber, number_for, read_paper_numbers
from dima.analysis.returns.rows import Row
from dima.analysis.returns.statistics import MIN_SEEDS_FOR_INTERVAL, Returns
from dima.config import TaskConfig
from dima.config.grid import Grid


@dataclass(frozen=True)
class SuiteScores:
    """The runs of one method on the tasks of a suite.

    Attributes:
        tasks: all of the suite in the grid.
        returns: final returns by task that counts.
        units: the paper's return by which they are divided, for every task of the suite that has one.
        units_only: by task whose scores cannot be compared with the paper, the reason.
        dima: DIMA's final returns on the tasks that count, where it has any.
        left_out: by task that does not count, the reason.
        missing: by task that counts, its missing seeds and their states.
        planned: seeds of the method in the suite.
    """

    suite: str
    method: str
    tasks: Sequence[str]
    returns: dict[str, Returns]
    units: dict[str, float]
    units_only: dict[str, str]
    dima: dict[str, Returns]
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
        return [] if self.method == "dima" else [(own, self.returns[task]) for task, own in self.dima.items()]

    @property
    def few_runs(self) -> list[str]:
        """The tasks that count with too few runs for an interval."""
        return [task for task, returns in self.returns.items() if len(returns) < MIN_SEEDS_FOR_INTERVAL]


def suite_scores(grid: Grid, rows: Sequence[Row]) -> list[SuiteScores]:
    """Every method in every suite of the grid, from its rows at the end of the budget (`final_rows`).

    Raises:
        UserError: the paper's numbers are missing.
    """
    numbers = read_paper_numbers("final_returns")
    by_place = {(row.sample.task, row.sample.method): row for row in rows}
    found = []
    for suite, tasks in tasks_by_suite(grid).items():
        published = {
            task: number_for(numbers.get((task, "dima"), ()), grid.task(task).env_steps) for task in tasks
        }
        units = {task: number for task, number in published.items() if number and number.mean}
        for method in dict.fromkeys(row.sample.method for row in rows if row.suite == suite):
            found.append(_scores(grid, suite, method, units, by_place))
    return found


def _scores(
    grid: Grid, suite: str, method: str, units: dict[str, PaperNumber], rows: dict[tuple[str, str], Row]
) -> SuiteScores:
    tasks = tasks_by_suite(grid)[suite]
    own = {task: rows[task, method] for task in tasks if (task, method) in rows}
    left_out = {
        task: reason for task in tasks if (reason := _obstacle(own.get(task), rows.get((task, "dima"))))
    }
    counted = {task: row for task, row in own.items() if task not in left_out}
    dima = {task: rows[task, "dima"] for task in counted if (task, "dima") in rows}
    return SuiteScores(
        suite=suite,
        method=method,
        tasks=tasks,
        returns={task: row.sample.values for task, row in counted.items()},
        units={task: number.mean for task, number in units.items() if number.mean},
        units_only={
            task: reason
            for task, number in units.items()
            if task in counted and (reason := _no_comparison(grid.task(task), number))
        },
        dima={task: row.sample.values for task, row in dima.items() if row.statistics},
        left_out=left_out,
        missing={task: row.sample.missing for task, row in counted.items() if row.sample.missing},
        planned=sum(row.sample.planned for row in own.values()),
        synthetic=next((row.synthetic for row in own.values() if row.synthetic), None),
    )


def _no_comparison(task: TaskConfig, number: PaperNumber) -> str:
    """Why a return on the task may not be compared with the paper's number, nothing where it may."""
    if not task.comparable_with_paper:
        return "other physics than the paper's"
    return "a smaller budget than the paper's" if task.env_steps < number.env_steps else ""


def _obstacle(row: Row | None, dima: Row | None) -> str:
    """Why a method's runs on a task do not count, nothing where they do."""
    if row is None:
        return "not planned"
    if not row.statistics:
        return row.sample.mixture or (row.sample.missing if row.sample.started else "not run")
    if dima is not None and dima.sample.lineage not in (None, row.sample.lineage):
        return "other physics than dima's"
    return ""
