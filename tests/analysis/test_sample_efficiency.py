"""Areas under learning curves and steps to a share of DIMA's return; every number below is worked out by
hand."""

from __future__ import annotations

import csv
import io
from math import inf
from pathlib import Path
from typing import Any

from dima.analysis.results import GridResults
from dima.analysis.returns.rows import build_rows
from dima.analysis.returns.sample_efficiency import Efficiency, measure_efficiency
from dima.analysis.tables.write import write_tables
from dima.config.grid import CellKey, Grid


def measured(grid: Grid, results: Path) -> dict[str, Efficiency]:
    return {
        one.row.sample.method: one for one in measure_efficiency(build_rows(grid, "final_returns", results))
    }


def test_areas_and_steps_of_every_seed(make_grid: Any, results: Path, write_cell: Any) -> None:
    grid = make_grid({"final_returns": [(["push-mass"], ["dima", "mappo"], [1, 2])]})
    write_cell(CellKey("push-mass", "dima", 1), 40.0, 4000, curve={0: [0.0], 2000: [20.0], 4000: [40.0]})
    write_cell(
        CellKey("push-mass", "dima", 2), 20.0, 4000, curve={0: [0.0], 2000: [26.0, 28.0], 4000: [20.0]}
    )
    write_cell(CellKey("push-mass", "mappo", 1), 15.0, 4000, curve={0: [5.0], 4000: [15.0]})
    write_cell(CellKey("push-mass", "mappo", 2), 1.0, 4000, curve={0: [-1.0], 4000: [1.0]})
    dima, mappo = measured(grid, results).values()
    assert dima.areas == [20.0, (13.5 + 23.5) / 2]
    assert dima.targets == {0.5: 15.0, 0.9: 27.0}  # DIMA's mean final return is 30
    assert dima.reached == {0.5: [2000, 2000], 0.9: [4000, 2000]}
    assert (dima.median_steps(0.9), dima.count(0.9), dima.rank) == (3000.0, 2, "best")
    assert (mappo.areas, mappo.reached, mappo.rank) == (
        [10.0, 0.0],
        {0.5: [4000, None], 0.9: [None, None]},
        "second",
    )
    assert (mappo.median_steps(0.5), mappo.count(0.5)) == (inf, 1)  # half of the seeds never get there
    write_tables(GridResults(grid, results), results)
    lines = (results / "trial/tables/sample_efficiency.md").read_text(encoding="utf-8").splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if line.startswith("| push-mass")
    ]
    assert [row[2:6] for row in rows] == [
        ["2/2", "**19.2 ± 1.1**", "2,000 (2/2)", "3,000 (2/2)"],  # the areas differ by 1.5: 1.5 / sqrt(2)
        ["2/2", "<ins>5.0 ± 7.1</ins>", "> 4,000 (1/2)", "> 4,000 (0/2)"],
    ]
    line = list(
        csv.DictReader(
            io.StringIO((results / "trial/tables/sample_efficiency.csv").read_text(encoding="utf-8"))
        )
    )[1]
    expected = {
        "target_50": "15",
        "steps_of_seeds_to_50": "4000;never",
        "median_steps_to_50": "inf",
        "areas": "10;0",
        "area_mean": "5",
    }
    assert {name: line[name] for name in expected} == expected


def test_an_odd_number_of_seeds_has_a_middle_one() -> None:
    one = Efficiency(None, [], {}, {0.5: [3000, None, 1000]}, "")  # type: ignore[arg-type]
    assert one.median_steps(0.5) == 3000.0


def test_shares_are_told_only_of_a_positive_return_of_the_same_physics(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid(
        {"final_returns": [(["push-mass", "ant-2x4", "halfcheetah-2x3"], ["dima", "mappo"], [1])]}
    )
    write_cell(CellKey("push-mass", "dima", 1), -5.0, 4000)
    write_cell(CellKey("push-mass", "mappo", 1), 5.0, 4000)
    write_cell(CellKey("ant-2x4", "mappo", 1), 5.0, 1_000_000)
    write_cell(CellKey("halfcheetah-2x3", "dima", 1), 5.0, 1_000_000)
    write_cell(CellKey("halfcheetah-2x3", "mappo", 1), 5.0, 1_000_000, lineage="other")
    found = {
        (one.row.sample.task, one.row.sample.method): one
        for one in measure_efficiency(build_rows(grid, "final_returns", results))
    }
    assert {place: one.obstacle for place, one in found.items() if one.obstacle} == {
        ("push-mass", "dima"): "dima's final return is not positive: it has no shares",
        ("push-mass", "mappo"): "dima's final return is not positive: it has no shares",
        ("ant-2x4", "mappo"): "no final return of dima to compare with",
        ("halfcheetah-2x3", "mappo"): "other physics than dima's",
    }
    assert all(not one.reached for one in found.values() if one.obstacle)
    assert found["halfcheetah-2x3", "dima"].reached == {0.5: [1_000_000], 0.9: [1_000_000]}
    assert (found["ant-2x4", "dima"].areas, found["ant-2x4", "mappo"].areas) == ([], [2.5])


def test_seeds_that_differ_in_physics_have_no_area(make_grid: Any, results: Path, write_cell: Any) -> None:
    grid = make_grid({"final_returns": [(["push-mass"], ["dima"], [1, 2])]})
    for seed, lineage in ((1, "one"), (2, "two")):
        write_cell(CellKey("push-mass", "dima", seed), 5.0, 4000, lineage=lineage)
    assert measured(grid, results)["dima"].areas == []
    write_tables(GridResults(grid, results), results)
    assert "- [1] lineages mixed across the seeds: one, two" in (
        results / "trial/tables/sample_efficiency.md"
    ).read_text(encoding="utf-8")
