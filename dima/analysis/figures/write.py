"""The figures of a grid, as PDF, PNG and SVG whose bytes depend on the records alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path

from matplotlib.figure import Figure

from dima.analysis.figures.learning_curves import draw
from dima.analysis.figures.pictures import PICTURE_DPI, imagination_figure, order_figure
from dima.analysis.figures.profiles import draw_profiles
from dima.analysis.figures.style import save_figure, stamp, style
from dima.analysis.paths import (
    FIGURE_FORMATS,
    Part,
    figure_names,
    figure_paths,
    return_experiments,
    tasks_by_suite,
)
from dima.analysis.records.files import FileRecords, Records
from dima.analysis.records.load import synthetic_label
from dima.analysis.reference import PAPER_SUITES, SUITE_TITLES
from dima.analysis.returns.curves import make_panel
from dima.analysis.returns.rows import Row, build_rows, final_rows
from dima.analysis.returns.scores import suite_scores
from dima.analysis.studies.pictured_cells import OrderedMethod, PicturedCell, ordered_methods, pictured_cells
from dima.config.grid import CellKey, Grid


def write_figures(
    grid: Grid,
    results_dir: Path,
    config_hashes: Mapping[CellKey, str] | None = None,
    records: Records | None = None,
    of: Part | None = None,
) -> list[Path]:
    """Draw the grid's figures; returns `figure_paths`.

    Args:
        grid: the grid whose cells are drawn.
        results_dir: the folder that receives `<grid>/figures`.
        config_hashes: the current configuration's hash by cell; a record with another one is left out.
        records: of the cells; by default those under `<results_dir>/<grid>/cells`.
        of: which part of the figures; by default all.

    Raises: UserError: a record or a study cannot be trusted (see `load_cells`, `pictured_cells`), or the
        paper's numbers are not there.
    """
    records = records or FileRecords(results_dir / grid.name / "cells")
    names = figure_names(grid, of)
    experiments: dict[str, list[Row]] = {}
    if of != "world-models":
        experiments = {
            name: build_rows(grid, name, records, config_hashes) for name in return_experiments(grid)
        }
    cells = pictured_cells(grid, records, config_hashes) if "imagination" in names else []
    methods = ordered_methods(grid, records, config_hashes) if "agent_order" in names else []
    shown = [*(row.records for rows in experiments.values() for row in rows), [cell.record for cell in cells]]
    label = synthetic_label(chain(*shown, *(method.records for method in methods)))
    paths = iter(figure_paths(grid, results_dir, of))
    written: list[Path] = []
    with style():
        for figures, dpi in (
            (_figures(grid, experiments) if experiments else (), None),
            (_pictures(grid, cells, methods), PICTURE_DPI),
        ):
            for figure in figures:
                stamp(figure, label)
                written += save_figure(figure, islice(paths, len(FIGURE_FORMATS)), dpi)
    return written


def _figures(grid: Grid, experiments: Mapping[str, Sequence[Row]]) -> Iterator[Figure]:
    """The figures of returns in the order of `figure_names`."""
    rows = final_rows(grid, experiments)
    suites = tasks_by_suite(grid)
    for suite in suites:
        yield _curves(
            grid,
            f"Learning curves, {SUITE_TITLES.get(suite, suite)}",
            [row for row in rows if row.suite == suite],
        )
    scores = suite_scores(grid, rows)
    for suite in suites:
        if suite in PAPER_SUITES:
            title = f"Performance profiles, {SUITE_TITLES.get(suite, suite)} (grid {grid.name})"
            yield draw_profiles(title, [one for one in scores if one.suite == suite])
    if "ablation_returns" in experiments:
        # not the rows of the learning curves: more seeds are planned here
        ends = [
            row
            for row in experiments["ablation_returns"]
            if row.sample.env_steps == grid.task(row.sample.task).env_steps
        ]
        yield _curves(grid, "Sequential against joint conditioning", ends)


def _pictures(
    grid: Grid, cells: Sequence[PicturedCell], methods: Sequence[OrderedMethod]
) -> Iterator[Figure]:
    """Those of world models, likewise."""
    if cells:
        yield imagination_figure(f"Real and imagined states (grid {grid.name})", cells)
    if methods:
        yield order_figure(f"Imagination by order of the agents (grid {grid.name})", methods)


def _curves(grid: Grid, title: str, rows: Sequence[Row]) -> Figure:
    """A panel for each task of the rows."""
    tasks = dict.fromkeys(row.sample.task for row in rows)
    return draw(
        f"{title} (grid {grid.name})",
        [make_panel(grid.task(task), [row for row in rows if row.sample.task == task]) for task in tasks],
    )
