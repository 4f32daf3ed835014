"""Scores over the tasks of a suite; every number below is worked out by hand."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from dima.analysis.results import GridResults
from dima.analysis.returns.rows import build_rows, final_rows
from dima.analysis.returns.scores import suite_scores
from dima.analysis.returns.suite_summary import Summary, summarize_suites
from dima.analysis.tables.write import write_tables
from dima.config.grid import CellKey, Grid

PAPER = {"ant-2x4": 4881.0, "halfcheetah-2x3": 6370.0}


def summaries(grid: Grid, results: Path) -> dict[str, Summary]:
    rows = final_rows(grid, {name: build_rows(grid, name, results) for name in grid.experiments})
    return {summary.scores.method: summary for summary in summarize_suites(grid, rows)}


def write(write_cell: Any, task: str, method: str, shares: list[float], **changes: Any) -> None:
    for seed, share in enumerate(shares, 1):
        write_cell(CellKey(task, method, seed), share * PAPER[task], 1_000_000, **changes)


def test_scores_of_all_tasks_are_taken_together(make_grid: Any, results: Path, write_cell: Any) -> None:
    grid = make_grid({"final_returns": [(["ant-2x4", "halfcheetah-2x3"], ["dima", "mappo"], [1, 2, 3])]})
    write(write_cell, "ant-2x4", "dima", [1.0, 1.1, 1.2])
    write(write_cell, "halfcheetah-2x3", "dima", [0.5, 0.9, 3.0])
    write(write_cell, "ant-2x4", "mappo", [0.1, 0.1, 0.1])
    write(write_cell, "halfcheetah-2x3", "mappo", [0.6, 0.6, 0.6])
    dima, mappo = summaries(grid, results).values()
    # of 0.5 0.9 1.0 1.1 1.2 3.0 the first and the last are dropped: floor(6/4) = 1
    assert dima.iqm == pytest.approx((0.9 + 1.0 + 1.1 + 1.2) / 4)
    assert dima.mean == pytest.approx(7.7 / 6)
    assert dima.iqm_interval is not None
    assert dima.iqm_interval[0] < 1.05 < dima.iqm_interval[1]
    assert (dima.improvement, dima.complete, dima.remarks) == (None, True, "")
    assert mappo.iqm == pytest.approx((0.1 + 0.1 + 0.6 + 0.6) / 4)
    assert mappo.iqm_interval == pytest.approx((0.35, 0.35))  # resampled within a task, all runs are alike
    # DIMA is better in 9 of 9 pairs on Ant, in 6 of 9 on HalfCheetah
    assert mappo.improvement == pytest.approx((1 + 6 / 9) / 2)


def test_what_may_not_be_compared_is_left_out_by_name(
    make_grid: Any, results: Path, write_cell: Any, write_status: Any
) -> None:
    methods = ["dima", "happo", "hasac", "mamba", "marie"]
    grid = make_grid(
        {
            "final_returns": [
                (["ant-2x4"], [*methods, "mappo"], [1, 2, 3]),
                (["halfcheetah-2x3"], methods, [1, 2, 3]),
            ]
        }
    )
    for task in PAPER:
        write(write_cell, task, "dima", [1.0, 1.0, 1.0])
    for method in methods[1:]:
        write(write_cell, "ant-2x4", method, [0.2, 0.2, 0.2])
    write(write_cell, "ant-2x4", "mappo", [0.2, 0.2])
    write_status(CellKey("ant-2x4", "mappo", 3), "failed")
    write(write_cell, "halfcheetah-2x3", "happo", [9.0, 9.0, 9.0], lineage="mujoco 2.1.0")
    for seed, engine in ((1, "native"), (2, "harl"), (3, "harl")):
        write_cell(CellKey("halfcheetah-2x3", "hasac", seed), 99999.0, 1_000_000, engine=engine)
    write_status(CellKey("halfcheetah-2x3", "mamba", 1), "diverged")
    found = summaries(grid, results)
    assert {method: summary.remarks for method, summary in found.items()} == {
        "dima": "",
        "happo": "halfcheetah-2x3: left out, other physics than dima's",
        "hasac": "halfcheetah-2x3: left out, engines mixed across the seeds: harl, native",
        "mamba": "halfcheetah-2x3: left out, 1 diverged (seed 1), 2 not run (seeds 2, 3)",
        "marie": "halfcheetah-2x3: left out, not run",
        "mappo": "halfcheetah-2x3: left out, not planned; ant-2x4: 1 failed (seed 3); "
        "ant-2x4: fewer than three runs",
    }
    assert [summary.iqm for method, summary in found.items() if method != "dima"] == pytest.approx([0.2] * 5)
    assert [method for method, summary in found.items() if summary.complete] == ["dima"]
    assert (found["mappo"].iqm_interval, found["mappo"].improvement_interval) == (None, None)
    write_tables(GridResults(grid, results), results)
    text = (results / "trial/tables/suite_summary.md").read_text(encoding="utf-8")
    assert "**" not in text  # DIMA alone is complete: there is nothing to be better than
    lines = list(
        csv.DictReader(io.StringIO((results / "trial/tables/suite_summary.csv").read_text(encoding="utf-8")))
    )
    assert [
        (line["method"], line["tasks"], line["tasks_of_suite"], line["runs"], line["runs_planned"])
        for line in lines[:2]
    ] == [
        ("dima", "ant-2x4;halfcheetah-2x3", "2", "6", "6"),
        ("happo", "ant-2x4", "2", "3", "6"),
    ]


def test_without_a_number_of_the_paper_there_is_no_score_but_a_probability(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid({"final_returns": [(["push-mass"], ["dima", "mappo"], [1, 2, 3])]})
    for seed in (1, 2, 3):
        write_cell(CellKey("push-mass", "dima", seed), 10.0 * seed, 4000)
        write_cell(CellKey("push-mass", "mappo", seed), 15.0, 4000)
    mappo = summaries(grid, results)["mappo"]
    assert (mappo.iqm, mappo.mean, mappo.scores.scores) == (None, None, [])
    assert mappo.remarks == "push-mass: no number in the paper to divide by"
    assert mappo.improvement == pytest.approx(2 / 3)


def test_where_the_papers_number_is_only_a_unit_it_is_said(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid(
        {"final_returns": [(["ant-2x4", "halfcheetah-2x3"], ["dima"], [1, 2, 3])]},
        env_steps={"halfcheetah-2x3": 4000},
    )
    for key in grid.cells:
        write_cell(key, PAPER[key.task], grid.task(key.task).env_steps)
    dima = summaries(grid, results)["dima"]
    assert dima.mean == pytest.approx(1.0)
    assert (
        dima.remarks
        == "halfcheetah-2x3: divided by the paper's dima, not comparable, a smaller budget than the paper's"
    )


def test_every_suite_has_lines_of_its_own(make_grid: Any, results: Path) -> None:
    grid = make_grid(
        {
            "final_returns": [(["push-mass", "ant-2x4"], ["dima"], [1])],
            "ablation_returns": [(["ant-2x4"], ["dima-joint"], [1])],
        }
    )
    rows = final_rows(grid, {name: build_rows(grid, name, results) for name in grid.experiments})
    assert [(scores.suite, scores.method) for scores in suite_scores(grid, rows)] == [
        ("toy", "dima"),
        ("mamujoco", "dima"),
        ("mamujoco", "dima-joint"),
    ]
