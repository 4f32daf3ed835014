"""The figures of a grid, as PDF, PNG and SVG whose bytes depend on the records alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from matplotlib.figure import Figure

from dima.analysis.figures.learning_curves import draw_curves
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
from dima.analysis.records.load import synthetic_label
from dima.analysis.reference import PAPER_SUITES, SUITE_TITLES
from dima.analysis.results import GridResults
from dima.analysis.returns.curves import make_panels
from dima.analysis.returns.rows import Row
from dima.analysis.returns.scores import suite_scores
from dima.config.grid import Grid


def write_figures(results: GridResults, folder: Path, of: Part | None = None) -> list[Path]:
    """Draw the grid's figures, or one part of them, in `<folder>/<grid>/figures`; returns `figure_paths`.

    Raises:
        UserError: a record or a study cannot be trusted (see `load_cells`, `pictured_cells`), or the paper's
            numbers are missing.
    """
    names = figure_names(results.grid, of)
    experiments = return_experiments(results.grid) if of != "world-models" else []
    shown = [row.records for name in experiments for row in results.rows(name)]
    shown += [[cell.record] for cell in results.pictured_cells] if "imagination" in names else []
    shown += [method.records for method in results.ordered_methods] if "agent_order" in names else []
    label = synthetic_label(chain(*shown))
    paths = iter(figure_paths(results.grid, folder, of))
    written: list[Path] = []
    with style():
        for figures, dpi in (
            (_figures(results) if experiments else (), None),
            (_pictures(results, names), PICTURE_DPI),
        ):
            for figure in figures:
                stamp(figure, label)
                written += save_figure(figure, islice(paths, len(FIGURE_FORMATS)), dpi)
    return written


def _figures(results: GridResults) -> Iterator[Figure]:
    """The figures of returns in the order of `figure_names`."""
    grid, rows = results.grid, results.ends
    suites = tasks_by_suite(grid)
    for suite in suites:
        own = [row for row in rows if row.suite == suite]
        yield _curves(grid, f"Learning curves, {SUITE_TITLES.get(suite, suite)}", own)
    scores = suite_scores(grid, rows)
    for suite in suites:
        if suite in PAPER_SUITES:
            title = f"Performance profiles, {SUITE_TITLES.get(suite, suite)} (grid {grid.name})"
            yield draw_profiles(title, [one for one in scores if one.suite == suite])
    if "ablation_returns" in grid.experiments:
        # not the rows of the learning curves: more seeds are planned here
        planned = results.rows("ablation_returns")
        ends = [row for row in planned if row.sample.env_steps == grid.task(row.sample.task).env_steps]
        yield _curves(grid, "Sequential against joint conditioning", ends)


def _pictures(results: GridResults, names: Sequence[str]) -> Iterator[Figure]:
    """The figures of world models in the order of `figure_names`."""
    name = results.grid.name
    if "imagination" in names:
        yield imagination_figure(f"Real and imagined states (grid {name})", results.pictured_cells)
    if "agent_order" in names:
        yield order_figure(f"Imagination by order of the agents (grid {name})", results.ordered_methods)


def _curves(grid: Grid, title: str, rows: Sequence[Row]) -> Figure:
    return draw_curves(f"{title} (grid {grid.name})", list(make_panels(grid, rows).values()))
