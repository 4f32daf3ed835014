"""Studies of trained world models, assembled over the seeds of every method of a task.

A table for machines and a figure.
"""

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
from dima.analysis.tables.csv_text import FLOATS
from dima.config.grid import Grid
from dima.errors import UserError
from dima.record.files import write_atomically


def write_studies(
    grid: Grid, results_dir: Path, tasks: Iterable[str] = (), studies: Iterable[str] = ()
) -> list[Path]:
    """Write, for every task and study that a cell has a file of, `study_paths`; returns them.

    Args:
        grid: the grid whose cells were studied.
        results_dir: the folder that holds `<grid>/cells` and receives `<grid>/studies`.
        tasks: those to look at; none: all of the grid.
        studies: those to look at; none: all.

    Raises:
        UserError: the grid has no such task, there is no file, or one cannot be trusted: it is malformed, of no cell of the grid, or
            does not hold the rows of the method's other seeds.
    """
    tasks, studies = tuple(tasks), tuple(studies) or STUDIES
    for task in tasks:
        grid.require_task(task)
    pairs = product(tasks or dict.fromkeys(key.task for key in grid.cells), studies)
    found = {(task, study): assemble(grid, results_dir, task, study) for task, study in pairs}
    if not any(method.seeds for methods in found.values() for method in methods):
        what = f"{' or '.join(studies)}.csv" if len(studies) < len(STUDIES) else "study"
        where = results_dir / grid.name / "cells" / (tasks[0] if len(tasks) == 1 else "")
        raise UserError(f"There is no {what} of a cell under {where}: `dima study` makes one.")
    written: list[Path] = []
    for (task, study), methods in found.items():
        if any(method.seeds for method in methods):
            written += _write(grid, study_paths(grid, results_dir, task, study), task, study, methods)
    return written


def _write(grid: Grid, paths: list[Path], task: str, study: str, methods: list[MethodPoints]) -> list[Path]:
    table, *figures = paths
    table.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(table, _to_csv(methods))
    with style():
        figure = FIGURES[study](f"{grid.task(task).label} (grid {grid.name})", methods)
        stamp(figure, _label_of(methods))
        return [table, *save_figure(figure, figures)]


def _label_of(methods: Iterable[MethodPoints]) -> str | None:
    return next((method.synthetic for method in methods if method.synthetic), None)


def _to_csv(methods: list[MethodPoints]) -> str:
    """One line a method, key and quantity.

    `seeds` is how many of the planned ones it rests on, `interval` what `low` and `high` are.
    """
    points = pd.concat(
        {method.method: method.points for method in methods if method.seeds}, names=["method"]
    ).droplevel(1)
    planned = pd.Series({method.method: method.planned for method in methods})
    points["seeds"] = points["seeds"].astype(str) + "/" + planned.astype(str).loc[points.index].to_numpy()
    label = _label_of(methods)
    return points.assign(**({"synthetic": label} if label else {})).to_csv(
        float_format=FLOATS, lineterminator="\n"
    )
