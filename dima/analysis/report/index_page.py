"""The first page: tables against the paper, learning curves, the state of every cell, provenance, cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from dima.analysis.paths import tasks_by_suite
from dima.analysis.reference import SUITE_TITLES
from dima.analysis.report.cell_files import CellFiles
from dima.analysis.report.cell_page import mean_and_range
from dima.analysis.report.chart import Chart, Series, make_chart
from dima.analysis.report.cost import Cost, costs
from dima.analysis.report.origins import OriginCount, count_origins
from dima.analysis.returns.curves import Curve, Panel, make_panels
from dima.analysis.returns.rows import Row
from dima.analysis.tables.markup import TextTable
from dima.analysis.tables.numbers import NONE
from dima.config.grid import Grid

WORDS = {
    "reproduced": "within the paper's own standard deviation of its mean",
    "above": "more than the paper's standard deviation above its mean",
    "below": "more than the paper's standard deviation below its mean",
    "partial": "fewer seeds completed than planned, or than runs behind the paper's number: no verdict yet",
    "not comparable": "other physics or a smaller budget than the paper's, seeds that may not be averaged, "
    "or no number in the paper",
    "not run": "no record; never a zero",
}

NUMBERS_ELSEWHERE = "its numbers are in the tables of this page"
PICTURE_TEXTS = {
    "imagination": "real states, and below them those that each world model imagines for the same actions",
    "agent_order": "real and imagined states for every order of the agents, and the error of each order",
}


@dataclass(frozen=True)
class ResultTable:
    """One experiment: its rows grouped by task, and the methods of any of them."""

    name: str
    title: str
    rows: list[Row]

    @cached_property
    def methods(self) -> list[str]:
        """In the grid's order."""
        return list(dict.fromkeys(row.sample.method for row in self.rows))

    @cached_property
    def tasks(self) -> dict[str, list[Row]]:
        """The rows of each task."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.sample.task, []).append(row)
        return found

    @cached_property
    def places(self) -> dict[tuple[str, int], dict[str, Row]]:
        """The rows by method at each task and number of environment steps."""
        found: dict[tuple[str, int], dict[str, Row]] = {}
        for row in self.rows:
            found.setdefault((row.sample.task, row.sample.env_steps), {})[row.sample.method] = row
        return found

    @cached_property
    def words(self) -> Counter[str]:
        """The number of rows with each word, in the order of `WORDS`."""
        counts = Counter(word_of(row) for row in self.rows)
        return Counter({word: counts[word] for word in WORDS if counts[word]})


@dataclass(frozen=True)
class DrawnPanel:
    """The learning curves of a task, and their values as a table, a column a method."""

    panel: Panel
    chart: Chart
    rows: list[tuple[int, list[str]]]


class Picture(NamedTuple):
    """A figure: its path in the report, its name, and its alternative text."""

    path: str
    name: str
    text: str


@dataclass(frozen=True)
class IndexPage:
    """The content of the template: `summaries` are all other tables, `files` all tables and figures."""

    grid: Grid
    tables: list[ResultTable]
    summaries: dict[str, TextTable]
    suites: dict[str, list[DrawnPanel]]
    cells: list[CellFiles]
    files: list[str]

    @property
    def pictures(self) -> list[Picture]:
        """The figures to show; the page draws learning curves itself."""
        return [
            Picture(str(path), path.stem.replace("_", " "), PICTURE_TEXTS.get(path.stem, NUMBERS_ELSEWHERE))
            for path in map(PurePosixPath, self.files)
            if path.suffix == ".png" and not path.stem.startswith("learning_curves")
        ]

    @cached_property
    def stems(self) -> dict[str, list[str]]:
        """The file formats of each name."""
        found: dict[str, list[str]] = {}
        for path in map(PurePosixPath, self.files):
            found.setdefault(path.stem, []).append(path.suffix[1:])
        return found

    @cached_property
    def states(self) -> Counter[str]:
        """The number of cells in each state."""
        return Counter(cell.record.state for cell in self.cells)

    @cached_property
    def cells_by_row(self) -> dict[tuple[str, str], dict[int, CellFiles]]:
        """The cells of each task and method, by seed."""
        found: dict[tuple[str, str], dict[int, CellFiles]] = {}
        for cell in self.cells:
            found.setdefault((cell.key.task, cell.key.method), {})[cell.key.seed] = cell
        return found

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds of any cell."""
        return sorted({cell.key.seed for cell in self.cells})

    @cached_property
    def without_result(self) -> list[CellFiles]:
        """Cells with a record that are averaged nowhere."""
        return [cell for cell in self.cells if cell.record.state not in ("completed", "not run")]

    @cached_property
    def costs(self) -> list[Cost]:
        """The cost by method and hardware."""
        return costs(self.cells)

    @cached_property
    def origins(self) -> list[OriginCount]:
        """The different origins."""
        return count_origins(self.cells)


def word_of(row: Row) -> str:
    """The word of a verdict, without its count."""
    return "partial" if row.verdict.word.startswith("partial") else row.verdict.word


def draw_suites(grid: Grid, rows: Sequence[Row]) -> dict[str, list[DrawnPanel]]:
    """The learning curves of every suite by its title, from the rows at the end of the budget."""
    panels = make_panels(grid, rows)
    suites = tasks_by_suite(grid).items()
    return {
        SUITE_TITLES.get(suite, suite): [_draw(panels[task]) for task in tasks] for suite, tasks in suites
    }


def _draw(panel: Panel) -> DrawnPanel:
    lines = [_series(curve) for curve in panel.curves]
    steps = sorted({int(step) for curve in panel.curves for step in curve.steps})
    rows = [(step, [_text(curve, step) for curve in panel.curves]) for step in steps]
    return DrawnPanel(panel, make_chart(lines, panel.task.env_steps), rows)


def _series(curve: Curve) -> Series:
    steps, mean, low, high = (column.tolist() for column in (curve.steps, curve.mean, curve.low, curve.high))
    return Series(curve.method, steps, mean, low, high, curve.paper)


def _text(curve: Curve, step: int) -> str:
    for at in np.flatnonzero(curve.steps == step).tolist():
        return mean_and_range(float(curve.mean[at]), float(curve.low[at]), float(curve.high[at]))
    return NONE
