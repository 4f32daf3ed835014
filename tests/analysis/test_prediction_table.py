"""Prediction errors beside the paper's, from studies written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dima.analysis.reference import PREDICTION_METHODS, PREDICTION_TASKS, read_prediction_errors
from dima.analysis.results import GridResults
from dima.analysis.studies.prediction import prediction_rows
from dima.analysis.tables.write import table_paths, write_tables
from dima.config.grid import Grid, load_grid
from dima.errors import UserError

CONFIG = Path(__file__).parents[2] / "workflow/config"
DATA = "the paper trains and evaluates on 500,000 transitions each, we on the cell's own data"


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    config = tmp_path / "config"
    config.mkdir()
    for part in ("tasks", "methods"):
        (config / part).symlink_to(CONFIG / part)
    (config / "trial.yaml").write_text(
        "experiments:\n  smoke:\n    - {tasks: [pen], methods: [dima, dima-joint, mappo], seeds: [1, 2, 3]}\n"
    )
    return load_grid("trial", config)


@pytest.fixture
def write(results: Path) -> Any:
    """`write(method, seed, error)` leaves a completed cell and, where there is an error per step, its study;
    `changes` of the summary."""

    def write_cell(method: str, seed: int, error: float | None, label: str = "", **changes: Any) -> Path:
        folder = results / f"trial/cells/pen/{method}/seed-{seed}"
        (folder / "studies").mkdir(parents=True)
        origin = {"commit": None, "dirty": None, "image": "none", "lock": None, "hardware": "none"}
        summary = {
            "format": 1,
            "grid": "trial",
            "task": "pen",
            "method": method,
            "seed": seed,
            "status": "completed",
            "engine": "native",
        }
        summary |= {
            "lineage": "port",
            "budget": 300_000,
            "final": {"grid_step": 300_000, "mean": 1.0},
            "mean_of_last_five": 1.0,
        }
        summary |= {
            "config_hash": "c0ffee",
            "attempts": 1,
            "wall_seconds": 1.0,
            "provenance": [origin],
        } | changes
        (folder / "summary.json").write_text(json.dumps(summary))
        if error is not None:
            rows = [
                f"{split},{kind},{dimension},{horizon},{factor * error * horizon},{label}"
                for split, kind, dimension, factor in (
                    ("train", "model", "mean", 7),
                    ("held-out", "decoder", "mean", 8),
                    ("held-out", "model", "0", 9),
                    ("held-out", "model", "mean", 1),
                )
                for horizon in (1, 15, 20)
            ]
            (folder / "studies/prediction.csv").write_text(
                "\n".join(["split,kind,dimension,horizon,error,synthetic", *rows, ""])
            )
        return folder

    return write_cell


def test_the_errors_of_the_model_on_held_out_segments_stand_beside_the_papers(
    grid: Grid, results: Path, write: Any
) -> None:
    for seed, error in ((1, 0.1), (2, 0.2), (3, 0.6)):
        write("dima", seed, error)
        if seed < 3:
            write("dima-joint", seed, 0.2)
    write("dima-joint", 3, None)
    write("mappo", 1, None)
    dima, joint, dima_20, joint_20 = prediction_rows(grid, results)
    assert [(row.paper.method, row.paper.horizon, row.paper.text) for row in (dima, joint, dima_20)] == [
        ("dima", 15, "6.667 ± 1.764"),
        ("dima-joint", 15, "6.676 ± 1.762"),
        ("dima", 20, "8.936 ± 2.328"),
    ]
    assert dima.sample.values == pytest.approx([1.5, 3.0, 9.0])
    assert dima_20.sample.values == pytest.approx([2.0, 4.0, 12.0])
    assert (dima.word, dima.reason) == ("not comparable", f"other physics: port; {DATA}")
    assert (joint_20.word, joint_20.reason) == (
        "not comparable",
        f"other physics: port; {DATA}; 1 not studied (seed 3)",
    )
    assert {row.rank for row in (dima, joint, dima_20, joint_20)} == {""}  # one of the two lacks a seed
    assert write_tables(GridResults(grid, results), results) == table_paths(grid, results)
    text = (results / "trial/tables/prediction_error.md").read_text(encoding="utf-8")
    assert (
        "| pen  |      15 | dima       |   3/3 | 4.500 ± 3.969 | 6.667 ± 1.764 | not comparable [1] |" in text
    )  # sqrt((9 + 2.25 + 20.25) / 2)


def test_the_smallest_error_is_the_best(grid: Grid, results: Path, write: Any) -> None:
    for seed in (1, 2, 3):
        write("dima", seed, 0.3)
        write("dima-joint", seed, 0.2)
    assert [row.rank for row in prediction_rows(grid, results)] == ["second", "best", "second", "best"]


def test_what_was_not_run_not_studied_or_is_another_physics_is_said(
    grid: Grid, results: Path, write: Any, write_status: Any
) -> None:
    assert {(row.word, row.reason) for row in prediction_rows(grid, results)} == {("not run", "")}
    write("dima", 1, None)
    write("dima-joint", 1, 0.2)
    write("dima-joint", 2, 0.2, lineage="bridge")
    write("dima-joint", 3, 0.2, config_hash="0ld")
    hashes = {key: "c0ffee" for key in grid.cells}
    dima, joint, *_ = prediction_rows(grid, results, hashes)
    assert (dima.word, dima.reason) == ("not run", "1 not studied (seed 1), 2 not run (seeds 2, 3)")
    assert (joint.word, joint.reason) == (
        "not comparable",
        f"lineages mixed across the seeds: bridge, port; {DATA}; 1 stale (seed 3)",
    )
    write_tables(GridResults(grid, results, hashes), results)
    lines = (results / "trial/tables/prediction_error.csv").read_text(encoding="utf-8").splitlines()
    assert lines[2].startswith(
        ",pen,15,dima-joint,2,3,1;2,1 stale (seed 3),3;3,,,6.676,1.762,slides Table 8,not comparable,"
    )


def test_a_study_that_is_synthetic_where_its_cell_is_not_is_refused(
    grid: Grid, results: Path, write: Any
) -> None:
    write("dima", 1, 0.2, label="made up")
    with pytest.raises(
        UserError,
        match=r"seed-1/studies/prediction\.csv and the summary of its cell do not agree on whether",
    ):
        write_tables(GridResults(grid, results), results)


def test_a_torn_study_is_refused_by_name(grid: Grid, results: Path, write: Any) -> None:
    path = write("dima", 2, 0.2) / "studies/prediction.csv"
    path.write_text(path.read_text()[:-5])
    with pytest.raises(UserError, match=r"seed-2/studies/prediction\.csv ends within a line"):
        write_tables(GridResults(grid, results), results)


def test_tasks_and_methods_are_those_of_the_papers_table() -> None:
    assert tuple(dict.fromkeys(number.task for number in read_prediction_errors())) == PREDICTION_TASKS
    assert tuple(dict.fromkeys(number.method for number in read_prediction_errors())) == PREDICTION_METHODS
