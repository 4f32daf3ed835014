"""Studies of trained world models over the seeds of every method: a CSV and a figure a task and study."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pandas as pd

from dima.analysis.figures.studies import FIGURES
from dima.analysis.figures.style import save_figure, stamp, style
from dima.analysis.paths import STUDIES, study_paths
from dima.analysis.studies.over_seeds import assemble
from dima.analysis.studies.points import MethodPoints
from dima.analysis.tables.numbers import FLOATS
from dima.config.grid import Grid
from dima.errors import UserError
from dima.record.files import write_atomically


def write_studies(
    grid: Grid, results_dir: Path, tasks: Iterable[str] = (), studies: Iterable[str] = ()
) -> list[Path]:
    """Write `study_paths` for every task and study that a cell has a file of; returns them.

    Args:
        grid: of the cells.
        results_dir: the folder that holds `<grid>/cells` and receives `<grid>/studies`.
        tasks: by default all of the grid.
        studies: by default all.

    Raises:
        UserError: the grid has no such task, there is no file, or one cannot be trusted: it is malformed, of
            no cell of the grid, or lacks rows of the method's other seeds.
    """
    tasks, studies = tuple(tasks), tuple(studies) or STUDIES
    for task in tasks:
        grid.require_task(task)
    pairs = product(tasks or dict.fromkeys(key.task for key in grid.cells), studies)
    assembled = {(task, study): assemble(grid, results_dir, task, study) for task, study in pairs}
    found = {place: methods for place, methods in assembled.items() if any(one.seeds for one in methods)}
    if not found:
        what = f"{' or '.join(studies)}.csv" if len(studies) < len(STUDIES) else "study"
        where = results_dir / grid.name / "cells" / (tasks[0] if len(tasks) == 1 else "")
        raise UserError(f"There is no {what} of a cell under {where}: `dima study` makes one.")
    return [
        path
        for (task, study), methods in found.items()
        for path in _write(grid, results_dir, task, study, methods)
    ]


def _write(grid: Grid, results_dir: Path, task: str, study: str, methods: list[MethodPoints]) -> list[Path]:
    table, *figures = study_paths(grid, results_dir, task, study)
    label = next((method.synthetic for method in methods if method.synthetic), None)
    table.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(table, _to_csv(methods, label))
    with style():
        figure = FIGURES[study](f"{grid.task(task).label} (grid {grid.name})", methods)
        stamp(figure, label)
        return [table, *save_figure(figure, figures)]


def _to_csv(methods: list[MethodPoints], label: str | None) -> str:
    """One line a method, key and quantity; `seeds` is studied/planned, `interval` the kind of the bounds."""
    points = pd.concat(
        {method.method: method.points for method in methods if method.seeds}, names=["method"]
    ).droplevel(1)
    planned = pd.Series({method.method: method.planned for method in methods})
    points["seeds"] = points["seeds"].astype(str) + "/" + planned.astype(str).loc[points.index].to_numpy()
    if label:
        points["synthetic"] = label
    return points.to_csv(float_format=FLOATS, lineterminator="\n")
