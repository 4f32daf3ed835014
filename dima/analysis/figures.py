"""Learning curves: one figure a suite, one panel a task, as PDF, PNG and SVG whose bytes depend on the records alone."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from dima.analysis.curves import make_panel
from dima.analysis.drawing import draw, save_figure, stamp, style
from dima.analysis.paths import FIGURE_FORMATS, figure_paths, tasks_by_suite
from dima.analysis.records import Records
from dima.analysis.reference import RETURN_TABLES
from dima.analysis.rows import Row, build_rows, label_of
from dima.grid import CellKey, Grid

_SUITE_TITLES = {"toy": "toy", "mamujoco": "MAMuJoCo", "bidexhands": "Bi-DexHands"}


def write_figures(
    grid: Grid, results_dir: Path, config_hashes: Mapping[CellKey, str] | None = None, records: Records | None = None
) -> list[Path]:
    """Draw the learning curves of every suite of the grid; returns `figure_paths`.

    Args:
        grid: the grid whose cells are drawn.
        results_dir: the folder that receives `<grid>/figures`.
        config_hashes: the current configuration's hash by cell; a record with another one is left out.
        records: of the cells; by default those under `<results_dir>/<grid>/cells`.

    Raises:
        UserError: a record cannot be trusted (see `load_cells`), or the paper's numbers are not there.
    """
    rows = final_rows(grid, records or results_dir, config_hashes)
    label = label_of(rows)
    paths = iter(figure_paths(grid, results_dir))
    written: list[Path] = []
    for suite, tasks in tasks_by_suite(grid).items():
        panels = [make_panel(grid.task(task), [row for row in rows if row.sample.task == task]) for task in tasks]
        with style():
            figure = draw(f"Learning curves, {_SUITE_TITLES[suite]} (grid {grid.name})", panels)
            stamp(figure, label)
            written += save_figure(figure, islice(paths, len(FIGURE_FORMATS)))
    return written


def final_rows(grid: Grid, source: Path | Records, config_hashes: Mapping[CellKey, str] | None) -> list[Row]:
    """One row a task and method, at the end of the budget; from the first table that has it, because tables bring the paper's number."""
    rows: dict[tuple[str, str], Row] = {}
    for experiment in sorted(grid.experiments, key=lambda name: name not in RETURN_TABLES):
        for row in build_rows(grid, experiment, source, config_hashes):
            if row.sample.env_steps == grid.task(row.sample.task).env_steps:
                rows.setdefault((row.sample.task, row.sample.method), row)
    return list(rows.values())
