"""The figures of a grid, as PDF, PNG and SVG whose bytes depend on the records alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from matplotlib.figure import Figure

from dima.analysis.curves import make_panel
from dima.analysis.drawing import draw, save_figure, stamp, style
from dima.analysis.paths import FIGURE_FORMATS, figure_paths, tasks_by_suite
from dima.analysis.profile_figure import draw_profiles
from dima.analysis.records import Records
from dima.analysis.reference import PAPER_SUITES
from dima.analysis.rows import Row, build_rows, final_rows, label_of
from dima.analysis.scores import suite_scores
from dima.grid import CellKey, Grid

_SUITE_TITLES = {"toy": "toy", "mamujoco": "MAMuJoCo", "bidexhands": "Bi-DexHands"}


def write_figures(
    grid: Grid, results_dir: Path, config_hashes: Mapping[CellKey, str] | None = None, records: Records | None = None
) -> list[Path]:
    """Draw the grid's figures; returns `figure_paths`.

    Args:
        grid: the grid whose cells are drawn.
        results_dir: the folder that receives `<grid>/figures`.
        config_hashes: the current configuration's hash by cell; a record with another one is left out.
        records: of the cells; by default those under `<results_dir>/<grid>/cells`.

    Raises:
        UserError: a record cannot be trusted (see `load_cells`), or the paper's numbers are not there.
    """
    experiments = {name: build_rows(grid, name, records or results_dir, config_hashes) for name in grid.experiments}
    label = label_of(row for rows in experiments.values() for row in rows)
    paths = iter(figure_paths(grid, results_dir))
    written: list[Path] = []
    with style():
        for figure in _figures(grid, experiments):
            stamp(figure, label)
            written += save_figure(figure, islice(paths, len(FIGURE_FORMATS)))
    return written


def _figures(grid: Grid, experiments: Mapping[str, Sequence[Row]]) -> Iterator[Figure]:
    """The figures in the order of `figure_names`."""
    rows = final_rows(grid, experiments)
    suites = tasks_by_suite(grid)
    for suite in suites:
        yield _curves(grid, f"Learning curves, {_SUITE_TITLES[suite]}", [row for row in rows if row.suite == suite])
    scores = suite_scores(grid, rows)
    for suite in suites:
        if suite in PAPER_SUITES:
            title = f"Performance profiles, {_SUITE_TITLES[suite]} (grid {grid.name})"
            yield draw_profiles(title, [one for one in scores if one.suite == suite])
    if "ablation_returns" in experiments:
        # not the rows of the learning curves: more seeds are planned here
        ends = [row for row in experiments["ablation_returns"] if row.sample.env_steps == grid.task(row.sample.task).env_steps]
        yield _curves(grid, "Sequential against joint conditioning", ends)


def _curves(grid: Grid, title: str, rows: Sequence[Row]) -> Figure:
    """A panel for each task of the rows."""
    tasks = dict.fromkeys(row.sample.task for row in rows)
    return draw(
        f"{title} (grid {grid.name})", [make_panel(grid.task(task), [row for row in rows if row.sample.task == task]) for task in tasks]
    )
