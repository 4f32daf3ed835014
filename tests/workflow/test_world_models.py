"""The figures and the table that rest on studies: made in a run of everything, and never in the way of
returns."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from dima.analysis.paths import figure_paths, prediction_studies, table_paths
from dima.config.grid import load_grid

ROOT = Path(__file__).parents[2]
QUICK = """experiments:
  final_returns: [{tasks: [push-mass], methods: [dima, dima-joint], seeds: [1, 2]}]
  imagination: [{tasks: [push-mass], methods: [dima, dima-joint], seeds: [1]}]
  agent_order: [{tasks: [push-mass], methods: [dima], seeds: [1, 2]}]
"""
FOLDER = "results/quick/cells/push-mass"
CELLS = [f"{FOLDER}/{method}/seed-{seed}" for method in ("dima", "dima-joint") for seed in (1, 2)]
RETURNS = ["quick_figures", "quick_tables"]
STUDIES = ["frames", "frames", "study", "study"]


@pytest.mark.slow
def test_a_run_of_everything_makes_the_studies_that_are_shown_and_no_others(stage) -> None:
    stage.write("quick.yaml", QUICK)
    assert stage.planned("quick") == sorted(
        [*CELLS, *STUDIES, *RETURNS, "quick", "quick_report", "quick_world_model_figures"]
    )
    assert stage.planned("quick_world_model_figures") == sorted(
        [*CELLS[:3], *STUDIES, "quick_world_model_figures"]
    )
    assert stage.planned("results/quick/figures/imagination.png") == stage.planned(
        "quick_world_model_figures"
    )
    assert stage.planned(*RETURNS, "quick_report") == sorted([*CELLS, *RETURNS, "quick_report"])
    assert not (stage.folder / "results").exists()


@pytest.mark.slow
def test_the_papers_tables_and_figures_of_world_models_are_made_by_all(stage) -> None:
    planned = Counter(stage.planned("all"))
    grid = load_grid("paper", stage.folder / "workflow/config")
    errors = len(prediction_studies(grid, Path("results")))
    assert (
        errors == 2 * 2 * 8 + 4
    )  # two doors, two methods, eight seeds of the ablation; DIMA alone on the pen
    # Ant: frames of three methods' first seeds, orders of four seeds
    assert (planned["study"], planned["frames"]) == (errors + 4, 3)
    assert (
        planned["paper_prediction_error"]
        == planned["paper_world_model_figures"]
        == planned["paper_report"]
        == 1
    )
    alone = Counter(stage.planned("paper_prediction_error"))
    assert (alone["study"], alone["frames"], alone["paper_tables"]) == (errors, 0, 0)
    assert Counter(stage.planned("figures"))["paper_world_model_figures"] == 1
    assert Counter(stage.planned("tables"))["paper_prediction_error"] == 1
    assert Counter(stage.planned("paper_report"))["study"] == 0


def test_the_readmes_table_names_files_that_its_targets_make() -> None:
    grid, root = load_grid("paper", ROOT / "workflow/config"), Path("results/paper")
    made = {
        "paper_figures": figure_paths(grid, root.parent, "returns"),
        "paper_tables": table_paths(grid, root.parent, "returns"),
        "paper_world_model_figures": figure_paths(grid, root.parent, "world-models"),
        "paper_prediction_error": table_paths(grid, root.parent, "world-models"),
        "paper_studies": [root / "studies/<task>/gain.pdf"],
    }
    rows = re.findall(
        r"^\| ([EX][^|]*) \| .* \| `(paper_\w+)` \| `([^`]+)`",
        (ROOT / "docs/experiments.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert [name for name, _, _ in rows] == ["E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8, E9", "E10", "X1"]
    assert [(target, file) for _, target, file in rows if root / file not in made[target]] == []


def test_a_grid_without_returns_has_the_rules_that_it_has_files_for(stage) -> None:
    stage.write(
        "quick.yaml", "experiments: {imagination: [{tasks: [push-mass], methods: [dima], seeds: [1]}]}\n"
    )
    assert stage.planned("quick") == sorted(
        [CELLS[0], "frames", "quick", "quick_report", "quick_world_model_figures"]
    )


@pytest.mark.slow
def test_the_report_is_made_after_the_figures_of_the_same_run_and_nothing_is_left_to_do(stage) -> None:
    stage.write("quick.yaml", QUICK)
    first = stage.snakemake("--cores", "2", "quick")
    assert first.returncode == 0, first.stderr
    results = stage.folder / "results/quick"
    report = (results / "report/index.html").stat().st_mtime_ns
    studies = [path.stat().st_mtime_ns for path in results.glob("cells/*/*/*/studies/*")]
    assert len(studies) == len(STUDIES)
    assert report > max(studies)
    assert "Figure: results/quick/figures/imagination.png" in first.stdout
    for targets in (["quick"], ["quick_report"], ["quick_world_model_figures"]):
        assert "Nothing to be done" in stage.snakemake("--cores", "1", *targets).stderr

    study = f"{CELLS[1]}/studies/orders.csv"
    (stage.folder / study).unlink()
    figure = results / "figures/agent_order.png"
    old = figure.read_text()
    again = stage.snakemake("--cores", "1", study)
    assert again.returncode == 0, again.stderr
    assert figure.read_text() != old
    assert (results / "report/index.html").stat().st_mtime_ns > report
    assert "Nothing to be done" in stage.snakemake("--cores", "1", "quick").stderr


@pytest.mark.slow
@pytest.mark.parametrize("failing", ["frames", "orders"])
def test_a_study_that_fails_costs_neither_returns_nor_report(stage, failing: str) -> None:
    stage.write("quick.yaml", QUICK)
    result = stage.snakemake(
        "--profile", "local", "--cores", "2", "quick", FAILING=f"push-mass/dima/seed-1/{failing}"
    )
    assert result.returncode != 0
    results = stage.folder / "results/quick"
    assert (results / "tables/final_returns.md").exists()
    assert (results / "figures/learning_curves_toy.pdf").exists()
    assert not (results / "figures/imagination.pdf").exists()
    assert "dima: the study failed" in result.stderr
    assert (
        f"Report: {os.path.join('results/quick/report', 'index.html')}, without what failed" in result.stdout
    )
    study = "frames" if failing == "frames" else "study"
    assert stage.planned("quick") == sorted(["quick", "quick_report", "quick_world_model_figures", study])


def test_a_cell_that_fails_leaves_no_report_of_half_a_grid(stage) -> None:
    stage.write("quick.yaml", QUICK)
    result = stage.snakemake("--profile", "local", "--cores", "2", "quick", FAILING="push-mass/dima/seed-1")
    assert result.returncode != 0
    assert not (stage.folder / "results/quick/report").exists()


def test_a_grid_that_is_not_in_order_is_refused_in_one_sentence(stage) -> None:
    stage.write("quick.yaml", QUICK)
    stage.write("methods/dima-joint.yaml", "extends: dima\nparameters: {behavior: {horizn: 15}}\n")
    result = stage.snakemake("--cores", "1", "quick_world_model_figures")
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Unknown configuration key 'parameters.behavior.horizn'")
