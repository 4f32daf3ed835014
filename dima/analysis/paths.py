"""Where the tables and figures of a grid go, known from the grid alone.

Light to import, because the workflow imports it at every start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

from dima.analysis.reference import PAPER_SUITES, PREDICTION_METHODS, PREDICTION_TASKS, RETURN_TABLES
from dima.config import CellConfig
from dima.config.grid import CellKey, Grid
from dima.config.studied import FRAMES, refusal

TABLE_FORMATS = ("csv", "md", "tex")
SUMMARY_TABLES = ("suite_summary", "sample_efficiency")
FIGURE_FORMATS = ("pdf", "png", "svg")
STUDIES = ("prediction", "orders", "gain", "calibration")
"""Studies of a world model in numbers, averaged over seeds; `frames` are pictures of one cell."""
WORLD_MODEL_FIGURES = ("imagination", "agent_order")
"""The paper's figures 6 and 7. An experiment of that name lists their cells, and has no returns."""
Part = Literal["returns", "world-models"]
"""Tables and figures of returns, or those of studies of world models."""
PARTS: tuple[Part, ...] = get_args(Part)
LEAD_METHOD = "dima"
"""The method whose policy acts in the frames of every method."""


def table_paths(grid: Grid, results_dir: Path, of: Part | None = None) -> list[Path]:
    """The files that `write_tables` makes."""
    return _files(results_dir / grid.name / "tables", table_names(grid, of), TABLE_FORMATS)


def figure_paths(grid: Grid, results_dir: Path, of: Part | None = None) -> list[Path]:
    """The files that `write_figures` makes."""
    return _files(results_dir / grid.name / "figures", figure_names(grid, of), FIGURE_FORMATS)


def _files(folder: Path, names: Iterable[str], formats: Sequence[str]) -> list[Path]:
    return [folder / f"{name}.{ending}" for name in names for ending in formats]


def figure_names(grid: Grid, of: Part | None = None) -> list[str]:
    """The figures of the grid, or of one part.

    Of returns: learning curves of every suite, performance profiles of suites with numbers in the paper, and
    the ablation if the grid has it. Of world models: those whose cells the grid lists.
    """
    suites = tasks_by_suite(grid)
    curves = [f"learning_curves_{suite}" for suite in suites]
    profiles = [f"performance_profiles_{suite}" for suite in suites if suite in PAPER_SUITES]
    ablation = ["ablation"] if "ablation_returns" in grid.experiments else []
    pictures = [name for name in WORLD_MODEL_FIGURES if grid.experiments.get(name)]
    return _of_part(of, [*curves, *profiles, *ablation], pictures)


def table_names(grid: Grid, of: Part | None = None) -> list[str]:
    """The tables of the grid, or of one part: of returns with their summaries, and of prediction errors."""
    names = return_tables(grid)
    predicted = any(key.task in PREDICTION_TASKS for key in grid.cells)
    summaries = SUMMARY_TABLES if names else ()
    return _of_part(of, [*names, *summaries], ["prediction_error"] if predicted else [])


def _of_part(of: Part | None, returns: list[str], world_models: list[str]) -> list[str]:
    return {"returns": returns, "world-models": world_models, None: returns + world_models}[of]


def report_path(grid: Grid, results_dir: Path) -> Path:
    """The folder that `write_report` makes; `index.html` in it is the first page."""
    return results_dir / grid.name / "report"


def film_path(grid: Grid, results_dir: Path, key: CellKey) -> Path:
    """The film of a cell's policy, which the report shows."""
    return results_dir / grid.name / "cells" / key.folder / "film.mp4"


def return_tables(grid: Grid) -> list[str]:
    """The grid's experiments that are tables of returns."""
    return [name for name in RETURN_TABLES if name in grid.experiments]


def return_experiments(grid: Grid) -> list[str]:
    """The grid's experiments that compare returns: all but the figures of world models."""
    return [name for name in grid.experiments if name not in WORLD_MODEL_FIGURES]


def tasks_by_suite(grid: Grid) -> dict[str, list[str]]:
    """The tasks of the experiments of returns in the grid's order, by suite."""
    tasks: dict[str, list[str]] = defaultdict(list)
    keys = (key for name in return_experiments(grid) for key in grid.experiments[name])
    for task in dict.fromkeys(key.task for key in keys):
        tasks[grid.task(task).suite].append(task)
    return tasks


def study_paths(grid: Grid, results_dir: Path, task: str, study: str) -> list[Path]:
    """The files that `write_study` makes: the table, then the figure in every format."""
    folder = results_dir / grid.name / "studies" / task
    return [folder / f"{study}.{ending}" for ending in ("csv", *FIGURE_FORMATS)]


def cell_study_path(grid: Grid, results_dir: Path, key: CellKey, study: str) -> Path:
    """The file that `dima study` writes of one cell."""
    ending = "npz" if study == FRAMES else "csv"
    return results_dir / grid.name / "cells" / key.folder / "studies" / f"{study}.{ending}"


def lead_cell(grid: Grid, key: CellKey) -> CellKey:
    """The cell whose policy acts in the frames of the cell `key`, so that all methods show the same episode.

    The grid's DIMA of the same task and seed, or without one the cell itself.
    """
    lead = key._replace(method=LEAD_METHOD)
    return lead if lead in grid.cells else key


def prediction_studies(grid: Grid, results_dir: Path) -> list[Path]:
    """The files that the table of prediction errors is made of."""
    cells = [key for key in grid.cells if key.task in PREDICTION_TASKS and key.method in PREDICTION_METHODS]
    return [cell_study_path(grid, results_dir, key, "prediction") for key in cells]


def pictured_studies(grid: Grid, results_dir: Path) -> list[Path]:
    """The files that figures of world models are drawn from: frames of first seeds, orders of every seed.

    Raises UserError as the grid.
    """
    planned = {name: grid.experiments.get(name, []) for name in WORLD_MODEL_FIGURES}
    wanted = [(key, FRAMES) for keys in planned.values() for key in first_seeds(keys)]
    wanted += [(key, "orders") for key in planned["agent_order"]]
    return [
        cell_study_path(grid, results_dir, key, study)
        for key, study in dict.fromkeys(wanted)
        if no_study(grid, key, study) is None
    ]


def first_seeds(keys: Iterable[CellKey]) -> list[CellKey]:
    """The first of the cells of every task and method, in their order."""
    first: dict[tuple[str, str], CellKey] = {}
    for key in keys:
        first.setdefault((key.task, key.method), key)
    return list(first.values())


def no_study(grid: Grid, key: CellKey, study: str) -> str | None:
    """Why the cell cannot have this study, in one sentence; None where it can. Raises as the grid."""
    if not grid.has_method(key.method):
        return f"There is no method {key.method} yet."
    return refusal(grid.resolve(key), study)


def cells_with_world_model(grid: Grid, task: str) -> list[CellKey]:
    """The grid's cells of the task whose world model predicts global states. Raises UserError as the grid."""
    return _cells_of_methods(grid, task, lambda config: config.parameters.imagines == "states")


def cells_with_frames(grid: Grid, task: str) -> list[CellKey]:
    """The grid's cells of the task that can have frames. Raises UserError as the grid."""
    return _cells_of_methods(grid, task, lambda config: refusal(config, FRAMES) is None)


def _cells_of_methods(grid: Grid, task: str, chosen: Callable[[CellConfig], bool]) -> list[CellKey]:
    grid.require_task(task)
    cells = [key for key in grid.cells if key.task == task and grid.has_method(key.method)]
    first = {key.method: key for key in reversed(cells)}  # seeds of a method differ in nothing else
    methods = {method for method, key in first.items() if chosen(grid.resolve(key))}
    return [key for key in cells if key.method in methods]
