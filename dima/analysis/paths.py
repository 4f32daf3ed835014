"""Where the tables and figures of a grid go, known from the grid alone; light to import, because the workflow reads it at every start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from dima.analysis.reference import PAPER_SUITES, PREDICTION_TASKS, RETURN_TABLES
from dima.config import CellConfig
from dima.grid import CellKey, Grid
from dima.studied import FRAMES, refusal

TABLE_FORMATS = ("csv", "md", "tex")
SUMMARY_TABLES = ("suite_summary", "sample_efficiency")
FIGURE_FORMATS = ("pdf", "png", "svg")
STUDIES = ("prediction", "orders", "gain", "calibration")
"""Studies of a world model that are numbers, and so are assembled over seeds; `frames` are pictures of one cell."""
LEAD_METHOD = "dima"
"""Its policy acts in the frames of every method."""


def table_paths(grid: Grid, results_dir: Path) -> list[Path]:
    """The files that `write_tables` makes."""
    folder = results_dir / grid.name / "tables"
    return [folder / f"{name}.{ending}" for name in table_names(grid) for ending in TABLE_FORMATS]


def figure_paths(grid: Grid, results_dir: Path) -> list[Path]:
    """The files that `write_figures` makes."""
    folder = results_dir / grid.name / "figures"
    return [folder / f"{name}.{ending}" for name in figure_names(grid) for ending in FIGURE_FORMATS]


def figure_names(grid: Grid) -> list[str]:
    """Learning curves of every suite, performance profiles of those that the paper has numbers of, and the ablation where it is planned."""
    suites = tasks_by_suite(grid)
    names = [f"learning_curves_{suite}" for suite in suites] + [
        f"performance_profiles_{suite}" for suite in suites if suite in PAPER_SUITES
    ]
    return [*names, *(["ablation"] if "ablation_returns" in grid.experiments else [])]


def table_names(grid: Grid) -> list[str]:
    """The tables of the grid: of returns, where there are any also of all runs at the end of their budgets, and of prediction errors."""
    names = return_tables(grid)
    predicted = any(key.task in PREDICTION_TASKS for key in grid.cells)
    return [*names, *(SUMMARY_TABLES if names else ()), *(["prediction_error"] if predicted else [])]


def report_path(grid: Grid, results_dir: Path) -> Path:
    """The folder that `write_report` makes; `index.html` in it is the first page."""
    return results_dir / grid.name / "report"


def film_path(grid: Grid, results_dir: Path, key: CellKey) -> Path:
    """Where the film of a cell's policy lies, which the report shows."""
    return results_dir / grid.name / "cells" / key.folder / "film.mp4"


def return_tables(grid: Grid) -> list[str]:
    """The grid's experiments that are tables of returns."""
    return [name for name in RETURN_TABLES if name in grid.experiments]


def tasks_by_suite(grid: Grid) -> dict[str, list[str]]:
    """The grid's tasks in its order, by suite."""
    tasks: dict[str, list[str]] = defaultdict(list)
    for task in dict.fromkeys(key.task for key in grid.cells):
        tasks[grid.task(task).suite].append(task)
    return tasks


def study_paths(grid: Grid, results_dir: Path, task: str, study: str) -> list[Path]:
    """The files that `write_study` makes: the table, then the figure in every format."""
    folder = results_dir / grid.name / "studies" / task
    return [folder / f"{study}.{ending}" for ending in ("csv", *FIGURE_FORMATS)]


def cell_study_path(grid: Grid, results_dir: Path, key: CellKey, study: str) -> Path:
    """What `dima study` makes of one cell."""
    return results_dir / grid.name / "cells" / key.folder / "studies" / (f"{study}.npz" if study == FRAMES else f"{study}.csv")


def lead_cell(grid: Grid, key: CellKey) -> CellKey:
    """The cell whose policy acts in the frames of the cell `key`: the grid's DIMA with its task and seed, or without one the cell itself.

    So all methods of a task and seed are shown the same episode.
    """
    lead = key._replace(method=LEAD_METHOD)
    return lead if lead in grid.cells else key


def prediction_studies(grid: Grid, results_dir: Path) -> list[Path]:
    """Where the studies lie that the table of prediction errors is made of."""
    return [cell_study_path(grid, results_dir, key, "prediction") for key in grid.cells if key.task in PREDICTION_TASKS]


def cells_with_world_model(grid: Grid, task: str) -> list[CellKey]:
    """The grid's cells of the task whose method is DIMA or a variant of it. Raises UserError as the grid does.

    A method without a configuration file does not exist yet, and has none.
    """
    return _cells_of_methods(grid, task, lambda config: config.parameters.algorithm == "dima")


def cells_with_frames(grid: Grid, task: str) -> list[CellKey]:
    """The grid's cells of the task of which there can be frames. Raises UserError as the grid does."""
    return _cells_of_methods(grid, task, lambda config: refusal(config, FRAMES) is None)


def _cells_of_methods(grid: Grid, task: str, chosen: Callable[[CellConfig], bool]) -> list[CellKey]:
    grid.require_task(task)
    cells = [key for key in grid.cells if key.task == task and grid.has_method(key.method)]
    first = {key.method: key for key in reversed(cells)}  # seeds of a method differ in nothing else
    methods = {method for method, key in first.items() if chosen(grid.resolve(key))}
    return [key for key in cells if key.method in methods]
