"""What the learning curves draw, and that their files depend on the records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from elsewhere import assert_same_bytes_elsewhere
from matplotlib.colors import to_hex

from dima.analysis.figures.learning_curves import draw_curves
from dima.analysis.figures.profiles import draw_profiles
from dima.analysis.figures.style import style
from dima.analysis.figures.write import _figures, figure_paths, write_figures
from dima.analysis.results import GridResults
from dima.analysis.returns.curves import make_panel
from dima.analysis.returns.rows import build_rows, final_rows
from dima.analysis.returns.scores import suite_scores
from dima.config.grid import CellKey, Grid


def panel_of(grid: Grid, results: Path, task: str) -> Any:
    return make_panel(
        grid.task(task),
        [row for row in build_rows(grid, "final_returns", results) if row.sample.task == task],
    )


def test_the_figures_of_a_grid_are_known_beforehand(make_grid: Any, results: Path) -> None:
    grid = make_grid(
        {"final_returns": [(["push-mass", "ant-2x4", "bottle-cap", "halfcheetah-2x3"], ["dima"], [1])]}
    )
    stems = [f"learning_curves_{suite}" for suite in ("toy", "mamujoco", "bidexhands")]
    stems += [
        "performance_profiles_mamujoco",
        "performance_profiles_bidexhands",
    ]  # the paper has no number of the toy
    expected = [
        results / "trial" / "figures" / f"{stem}.{ending}"
        for stem in stems
        for ending in ("pdf", "png", "svg")
    ]
    assert figure_paths(grid, results) == expected
    ablation = make_grid({"ablation_returns": [(["push-mass"], ["dima", "dima-joint"], [1])]})
    assert {path.stem for path in figure_paths(ablation, results)} == {"learning_curves_toy", "ablation"}


def test_curves_average_episodes_then_seeds_at_shared_steps(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid({"final_returns": [(["push-mass"], ["dima", "mappo"], [1, 2])]})
    write_cell(
        CellKey("push-mass", "dima", 1),
        12.0,
        4000,
        curve={0: [0.0, 2.0], 2000: [4.0, 4.0], 4000: [10.0, 14.0]},
    )
    write_cell(
        CellKey("push-mass", "dima", 2), 20.0, 4000, curve={0: [-3.0, -1.0], 3000: [9.0], 4000: [20.0]}
    )
    panel = panel_of(grid, results, "push-mass")
    (curve,) = panel.curves
    assert curve.steps.tolist() == [0, 4000]
    assert curve.mean.tolist() == [-0.5, 16.0]
    assert (curve.low.tolist(), curve.high.tolist()) == ([-2.0, 12.0], [1.0, 20.0])
    assert (curve.seeds, curve.has_interval, curve.paper) == (2, False, None)
    assert panel.without_curve == ["mappo"]


def test_from_three_seeds_on_the_band_is_the_bootstrap_interval(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid({"final_returns": [(["push-mass"], ["dima"], [1, 2, 3, 4])]})
    for seed, value in enumerate((0.0, 0.0, 0.0, 4.0), 1):
        write_cell(CellKey("push-mass", "dima", seed), value, 4000, curve={4000: [value]})
    (curve,) = panel_of(grid, results, "push-mass").curves
    # the mean of a resample is Binomial(4, 1/4): 97.5 % lies at 3
    assert (curve.mean.tolist(), curve.low.tolist(), curve.high.tolist(), curve.has_interval) == (
        [1.0],
        [0.0],
        [3.0],
        True,
    )


def test_the_papers_number_is_marked_only_where_it_may_be_compared(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid(
        {"final_returns": [(["ant-2x4", "halfcheetah-2x3"], ["dima", "mappo"], [1])]},
        env_steps={"halfcheetah-2x3": 4000},
    )
    for key in grid.cells:
        write_cell(key, 100.0, grid.task(key.task).env_steps)
    assert [curve.paper for curve in panel_of(grid, results, "ant-2x4").curves] == [4881.0, 859.0]
    assert [curve.paper for curve in panel_of(grid, results, "halfcheetah-2x3").curves] == [None, None]


def test_seeds_of_different_physics_have_no_curve(make_grid: Any, results: Path, write_cell: Any) -> None:
    grid = make_grid({"final_returns": [(["push-mass"], ["dima"], [1, 2])]})
    write_cell(CellKey("push-mass", "dima", 1), 1.0, 4000, lineage="one")
    write_cell(CellKey("push-mass", "dima", 2), 1.0, 4000, lineage="two")
    panel = panel_of(grid, results, "push-mass")
    assert (panel.curves, panel.without_curve, panel.silence) == ([], ["dima"], "nothing to average")


def test_a_figure_shows_colours_seeds_labels_and_empty_panels(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid(
        {"final_returns": [(["ant-2x4", "halfcheetah-2x3"], ["dima", "mappo", "marie"], [1, 2, 3])]}
    )
    for key in grid.cells[:5]:
        write_cell(key, 100.0 * key.seed, 1_000_000)
    with style():
        figure = draw_curves(
            "Learning curves", [panel_of(grid, results, task) for task in ("ant-2x4", "halfcheetah-2x3")]
        )
    drawn, empty = figure.axes
    assert drawn.get_title() == "Ant-2x4 (n = 3, mappo\N{NO-BREAK SPACE}2)\nno curve: marie"
    assert (drawn.get_xlabel(), drawn.get_ylabel()) == (
        "environment steps",
        "evaluation return\n(reward per episode)",
    )
    lines = {to_hex(line.get_color()).upper(): np.asarray(line.get_ydata()).tolist() for line in drawn.lines}
    assert lines == {"#0072B2": [0.0, 200.0], "#000000": [0.0, 150.0]}
    assert [text.get_text() for text in empty.texts] == ["not run"]
    assert not empty.lines
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["dima", "mappo"]
    caption = legend.get_title().get_text()
    assert max(len(line) for line in caption.splitlines()) <= 78  # what fits into 6.5 inches
    band = "95 % stratified bootstrap interval, minimum to maximum where n < 3"
    band = f"line: mean over n completed seeds; band: {band}"
    assert caption.replace("\n", " ") == f"{band} dashes at the right: the paper's final return"


def test_a_suite_without_any_run_still_has_its_figure(make_grid: Any, results: Path) -> None:
    grid = make_grid({"final_returns": [(["push-mass"], ["dima"], [1])]})
    paths = write_figures(GridResults(grid, results), results)
    assert paths == figure_paths(grid, results)
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)
    assert [path.read_bytes()[:4] for path in paths] == [b"%PDF", b"\x89PNG", b"<?xm"]


def test_an_ablation_is_drawn_with_its_own_line(make_grid: Any, results: Path, write_cell: Any) -> None:
    grid = make_grid({"final_returns": [(["push-mass"], ["dima", "dima-unscaled", "dima-ascending"], [1])]})
    for key in grid.cells:
        write_cell(key, 1.0, 4000)
    with style():
        axis = draw_curves("Learning curves", [panel_of(grid, results, "push-mass")]).axes[0]
    looks = {(to_hex(line.get_color()), str(line.get_linestyle())) for line in axis.lines}
    assert looks == {("#0072b2", "-"), ("#7f7f7f", ":"), ("#7f7f7f", "-.")}


def test_figures_have_the_same_bytes_in_another_process_at_another_time(
    make_grid: Any, results: Path, write_cell: Any, tmp_path: Path
) -> None:
    grid = make_grid(
        {
            "final_returns": [(["push-mass"], ["dima", "mappo"], [1, 2, 3])],
            "smoke": [(["push-mass"], ["happo"], [1])],
        }
    )
    for key in grid.cells:
        write_cell(key, 10.0 * key.seed, 4000)
    paths = write_figures(GridResults(grid, results), results)
    assert paths == figure_paths(grid, results)
    assert_same_bytes_elsewhere(write_figures, paths, tmp_path / "config", results)


def test_the_ablation_shows_all_its_seeds_and_its_methods_alone(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid(
        {
            "final_returns": [(["push-mass"], ["dima", "mappo"], [1])],
            "ablation_returns": [(["push-mass", "ant-2x4"], ["dima", "dima-joint"], [1, 2])],
        }
    )
    for key in grid.cells:
        write_cell(key, float(key.seed), grid.task(key.task).env_steps)
    with style():
        *others, ablation = _figures(GridResults(grid, results))
    assert [figure.get_suptitle().split(" (")[0] for figure in others] == [
        "Learning curves, toy",
        "Learning curves, MAMuJoCo",
        "Performance profiles, MAMuJoCo",
    ]
    assert ablation.get_suptitle() == "Sequential against joint conditioning (grid trial)"
    assert [axis.get_title() for axis in ablation.axes] == ["PushMass (n = 2)", "Ant-2x4 (n = 2)"]
    assert [text.get_text() for text in ablation.legends[0].get_texts()] == ["dima", "dima-joint"]
    assert others[0].axes[0].get_title() == "PushMass (n = 1, dima-joint\N{NO-BREAK SPACE}2)"


def test_a_profile_is_the_share_of_runs_above_each_score(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid(
        {"final_returns": [(["ant-2x4", "halfcheetah-2x3"], ["dima", "mappo", "marie"], [1, 2, 3])]}
    )
    for seed in (1, 2, 3):
        write_cell(CellKey("ant-2x4", "dima", seed), 4881.0 * seed, 1_000_000)
        write_cell(CellKey("halfcheetah-2x3", "dima", seed), 6370.0 * 0.25, 1_000_000)
        if seed < 3:
            write_cell(CellKey("ant-2x4", "mappo", seed), 4881.0 * 0.5, 1_000_000)
    rows = final_rows(grid, {"final_returns": build_rows(grid, "final_returns", results)})
    with style():
        figure = draw_profiles("Profiles", suite_scores(grid, rows))
    (axis,) = figure.axes
    curves = {to_hex(line.get_color()).upper(): line.get_xydata() for line in axis.lines[:2]}

    def share(color: str, score: float) -> float:
        thresholds, shares = np.asarray(curves[color]).T
        return float(shares[np.flatnonzero(thresholds >= score)[0]])

    # DIMA's scores are 1, 2, 3 and three times 0.25; MAPPO's twice 0.5
    assert [share("#0072B2", score) for score in (0.0, 0.3, 1.1, 2.1, 3.05)] == pytest.approx(
        [1.0, 0.5, 1 / 3, 1 / 6, 0.0]
    )
    assert [share("#000000", score) for score in (0.0, 0.45, 0.55)] == [1.0, 1.0, 0.0]
    (band,) = axis.collections  # of DIMA alone: MAPPO has two runs
    assert to_hex(np.asarray(band.get_facecolor())[0]) == "#0072b2"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "dima (6 of 6 runs, 2 of 2 tasks)",
        "mappo (2 of 6 runs, 1 of 2 tasks)",
    ]
    caption = legend.get_title().get_text().replace("\n", " ")
    assert caption.endswith("no band, fewer than three runs of a task: mappo no curve: marie")


def test_a_suite_without_scores_still_has_its_profiles(make_grid: Any, results: Path) -> None:
    grid = make_grid({"final_returns": [(["ant-2x4"], ["dima"], [1])]})
    rows = final_rows(grid, {"final_returns": build_rows(grid, "final_returns", results)})
    with style():
        figure = draw_profiles("Profiles", suite_scores(grid, rows))
    assert [text.get_text() for text in figure.axes[0].texts] == ["no scores"]
    assert figure.legends[0].get_title().get_text().endswith("no curve: dima")
