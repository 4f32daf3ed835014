"""Where the tables and figures of a grid go, known from the grid alone; light to import, because the workflow reads it at every start."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from dima.analysis.reference import RETURN_TABLES
from dima.grid import Grid

TABLE_FORMATS = ("csv", "md", "tex")
FIGURE_FORMATS = ("pdf", "png", "svg")


def table_paths(grid: Grid, results_dir: Path) -> list[Path]:
    """The files that `write_tables` makes."""
    folder = results_dir / grid.name / "tables"
    return [folder / f"{name}.{ending}" for name in return_tables(grid) for ending in TABLE_FORMATS]


def figure_paths(grid: Grid, results_dir: Path) -> list[Path]:
    """The files that `write_figures` makes."""
    folder = results_dir / grid.name / "figures"
    return [folder / f"learning_curves_{suite}.{ending}" for suite in tasks_by_suite(grid) for ending in FIGURE_FORMATS]


def return_tables(grid: Grid) -> list[str]:
    """The grid's experiments that are tables of returns."""
    return [name for name in RETURN_TABLES if name in grid.experiments]


def tasks_by_suite(grid: Grid) -> dict[str, list[str]]:
    """The grid's tasks in its order, by suite."""
    tasks: dict[str, list[str]] = defaultdict(list)
    for task in dict.fromkeys(key.task for key in grid.cells):
        tasks[grid.task(task).suite].append(task)
    return tasks
