"""Best and second best, and where neither is told."""

from __future__ import annotations

from typing import Any

from dima.analysis.results import GridResults
from dima.analysis.returns.ranks import ranks
from dima.analysis.returns.rows import build_rows
from dima.analysis.tables.write import write_tables
from dima.config.grid import CellKey


def test_each_group_has_a_best_and_a_second_of_its_own() -> None:
    values = {0: ("a", 3.0), 1: ("b", 9.0), 2: ("a", 5.0), 3: ("b", -1.0), 4: ("a", 4.0)}
    assert ranks(values, digits=1) == {2: "best", 4: "second", 1: "best", 3: "second"}


def test_what_looks_equal_is_equal_and_two_best_have_no_second() -> None:
    assert ranks({0: ("a", 5.04), 1: ("a", 4.96), 2: ("a", 4.0)}, digits=1) == {0: "best", 1: "best"}
    assert ranks({0: ("a", 5.04), 1: ("a", 4.96), 2: ("a", 4.0)}, digits=2) == {0: "best", 1: "second"}
    assert ranks({0: ("a", 5.0), 1: ("a", 4.0), 2: ("a", 4.0)}, digits=1) == {
        0: "best",
        1: "second",
        2: "second",
    }


def test_nothing_is_best_alone_or_where_all_are_equal() -> None:
    assert ranks({}, digits=1) == {}
    assert ranks({0: ("a", 5.0), 1: ("b", 4.0)}, digits=1) == {}
    assert ranks({0: ("a", 5.0), 1: ("a", 5.0)}, digits=1) == {}


def test_rows_of_another_physics_or_with_a_missing_seed_have_no_rank(
    make_grid: Any, results: Any, write_cell: Any, write_status: Any
) -> None:
    methods = ["dima", "happo", "hasac", "mamba", "mappo"]
    grid = make_grid({"final_returns": [(["push-mass", "ant-2x4"], methods, [1, 2])]})
    returns = {"dima": 30.0, "happo": 90.0, "hasac": 70.0, "mamba": 10.0, "mappo": 20.0}
    for key in grid.cells:
        if key == CellKey("push-mass", "hasac", 2):
            write_status(key, "diverged")  # the survivor alone must not win
        elif key.task == "push-mass":
            write_cell(key, returns[key.method], 4000, lineage="other" if key.method == "happo" else "one")
    expected = {"dima": "best", "happo": "", "hasac": "", "mamba": "", "mappo": "second"}
    rows = build_rows(grid, "final_returns", results)
    assert {row.sample.method: row.rank for row in rows if row.sample.task == "push-mass"} == expected
    assert {row.rank for row in rows if row.sample.task == "ant-2x4"} == {""}
    write_tables(GridResults(grid, results), results)
    texts = {
        ending: (results / f"trial/tables/final_returns.{ending}").read_text(encoding="utf-8")
        for ending in ("csv", "md", "tex")
    }
    assert [line.count("best") + line.count("second") for line in texts["csv"].splitlines()[1:6]] == [
        1,
        0,
        0,
        0,
        1,
    ]
    assert (
        texts["md"].count("**30.0 ± 0.0**"),
        texts["md"].count("**"),
        texts["md"].count("<ins>20.0 ± 0.0</ins>"),
    ) == (1, 2, 1)
    assert (
        texts["tex"].count(r"\textbf{30.0 $\pm$ 0.0}"),
        texts["tex"].count(r"\textbf"),
        texts["tex"].count(r"\underline"),
    ) == (1, 1, 1)
    assert "1 diverged (seed 2)" in texts["md"]
    assert "1 diverged (seed 2)" in texts["tex"]
    assert "2 diverged" in texts["csv"]
