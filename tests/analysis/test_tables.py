"""Tables from cell folders written by hand; every number below is worked out by hand."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from dima.analysis.results import GridResults
from dima.analysis.tables.write import table_paths, write_tables
from dima.config.grid import CellKey, Grid


def read_csv(results: Path, name: str) -> list[dict[str, str]]:
    return list(
        csv.DictReader(
            io.StringIO((results / "trial" / "tables" / f"{name}.csv").read_text(encoding="utf-8"))
        )
    )


def final_returns(grid: Grid, results: Path) -> str:
    write_tables(GridResults(grid, results), results)
    return (results / "trial/tables/final_returns.md").read_text(encoding="utf-8")


def body(markdown: str) -> list[list[str]]:
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert len({len(line) for line in lines}) == 1, "columns do not line up"
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_tables_of_a_grid_are_known_beforehand(make_grid: Any, results: Path) -> None:
    block = (["push-mass"], ["dima"], [1])
    grid = make_grid({"ablation_returns": [block], "smoke": [block], "final_returns": [block]})
    folder = results / "trial" / "tables"
    names = [
        "final_returns.csv",
        "final_returns.md",
        "final_returns.tex",
        "ablation_returns.csv",
        "ablation_returns.md",
        "ablation_returns.tex",
        "suite_summary.csv",
        "suite_summary.md",
        "suite_summary.tex",
        "sample_efficiency.csv",
        "sample_efficiency.md",
        "sample_efficiency.tex",
    ]
    assert table_paths(grid, results) == [folder / name for name in names]
    assert write_tables(GridResults(grid, results), results) == table_paths(grid, results)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_a_quick_grid_as_the_user_sees_it(
    make_grid: Any, results: Path, write_cell: Any, write_status: Any
) -> None:
    grid = make_grid(
        {
            "final_returns": [
                (["push-mass"], ["dima", "dima-joint"], [1, 2]),
                (["halfcheetah-2x3"], ["dima", "mappo"], [1, 2]),
            ]
        },
        env_steps={"halfcheetah-2x3": 4000},
    )
    for seed, dima, joint in ((1, 31.0, 29.0), (2, 34.0, 32.5)):
        write_cell(CellKey("push-mass", "dima", seed), dima, 4000)
        write_cell(CellKey("push-mass", "dima-joint", seed), joint, 4000)
    write_cell(CellKey("halfcheetah-2x3", "dima", 1), -60.25, 4000)
    write_status(CellKey("halfcheetah-2x3", "dima", 2), "diverged")
    text = final_returns(grid, results)
    # std of 31, 34 = 3 / sqrt(2); of 29, 32.5 = 3.5 / sqrt(2); dima beats dima-joint in 3 of 4 pairs
    assert body(text) == [
        ["push-mass", "dima", "2/2", "4,000", "**32.5 ± 2.1**", "32.5", "–", "–", "–", "not comparable [1]"],
        [
            "push-mass",
            "dima-joint",
            "2/2",
            "4,000",
            "<ins>30.8 ± 2.5</ins>",
            "30.8",
            "–",
            "–",
            "0.75",
            "not comparable [1]",
        ],
        [
            "halfcheetah-2x3",
            "dima",
            "1/2",
            "4,000",
            "-60.2 ± –",
            "-60.2",
            "6370 ± 121 (4)",
            "–",
            "–",
            "not comparable [2]",
        ],
        ["halfcheetah-2x3", "mappo", "0/2", "4,000", "not run", "–", "3196 ± 75 (4)", "–", "–", "not run"],
    ]
    assert text.splitlines()[-2:] == [
        "- [1] no number in the paper",
        "- [2] budget 4,000 of the paper's 1,000,000 env steps; 1 diverged (seed 2)",
    ]


def test_a_full_row_beside_the_paper(make_grid: Any, results: Path, write_cell: Any) -> None:
    grid = make_grid({"final_returns": [(["ant-2x4"], ["dima", "mappo"], [1, 2, 3, 4])]})
    for seed, value in enumerate((5000.0, 5200.0, 5400.0, 5600.0), 1):
        write_cell(CellKey("ant-2x4", "dima", seed), value, 1_000_000, attempts=seed)
    for seed, value in enumerate((800.0, 800.0, 812.0, 812.0), 1):
        write_cell(CellKey("ant-2x4", "mappo", seed), value, 1_000_000, engine="harl")
    write_tables(GridResults(grid, results), results)
    dima, mappo = read_csv(results, "final_returns")
    expected = {
        "suite": "mamujoco",
        "n": "4",
        "planned": "4",
        "seeds": "1;2;3;4",
        "returns": "5000;5200;5400;5600",
        "mean": "5300",
        "std_ddof1": "258.198890",  # sqrt(200000 / 3)
        "std_ddof0": "223.606798",  # sqrt(50000)
        "iqm": "5300",
        "mean_of_last_five": "5298",
        "probability_dima_better": "",
        "paper_mean": "4881",
        "paper_std": "756",
        "paper_n": "4",
        "paper_source": "Table 2",
        "difference": "419",
        "verdict": "reproduced",
        "reason": "",
        "engine": "native",
        "lineage": "mujoco 4.0.0, preset paper",
        "comparable_with_paper": "True",
        "commits": "abc123",
        "dirty": "False",
        "image": "none",
        "lock": "10cc",
        "hardware": "CPU, 2 cores, no GPU",
        "attempts": "1;2;3;4",
        "wall_seconds": "100.5;100.5;100.5;100.5",
    }
    assert {name: dima[name] for name in expected} == expected | {"std_ddof1": f"{(200000 / 3) ** 0.5:.9g}"}
    # means of resamples' middle two lie between the extremes, around the mean
    assert 5000 <= float(dima["iqm_low"]) < 5300 < float(dima["iqm_high"]) <= 5600
    assert (mappo["verdict"], mappo["difference"], mappo["probability_dima_better"], mappo["engine"]) == (
        "below",
        "-53",
        "1",
        "harl",
    )
    assert body((results / "trial" / "tables" / "final_returns.md").read_text(encoding="utf-8"))[1][4:] == [
        "<ins>806.0 ± 6.9</ins>",
        "806.0 [800.0, 812.0]",
        "859 ± 47 (4)",
        "-53.0",
        "1.00",
        "below",
    ]


def test_seeds_of_different_engines_are_never_averaged(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid({"final_returns": [(["ant-2x4"], ["dima", "mappo"], [1, 2])]})
    for seed, engine in ((1, "native"), (2, "harl")):
        write_cell(CellKey("ant-2x4", "mappo", seed), 850.0, 1_000_000, engine=engine)
        write_cell(CellKey("ant-2x4", "dima", seed), 4881.0, 1_000_000)
    row = body(final_returns(grid, results))[1]
    assert row == [
        "ant-2x4",
        "mappo",
        "2/2",
        "1,000,000",
        "–",
        "–",
        "859 ± 47 (4)",
        "–",
        "–",
        "not comparable [2]",
    ]
    line = read_csv(results, "final_returns")[1]
    empty = [
        "mean",
        "std_ddof1",
        "std_ddof0",
        "iqm",
        "iqm_low",
        "iqm_high",
        "mean_of_last_five",
        "difference",
        "probability_dima_better",
    ]
    assert {line[name] for name in empty} == {""}
    assert (line["engine"], line["reason"]) == ("harl;native", "engines mixed across the seeds: harl, native")


def test_improvement_is_not_told_across_physics(make_grid: Any, results: Path, write_cell: Any) -> None:
    grid = make_grid({"final_returns": [(["ant-2x4"], ["dima", "mappo"], [1])]})
    write_cell(CellKey("ant-2x4", "dima", 1), 4881.0, 1_000_000)
    write_cell(CellKey("ant-2x4", "mappo", 1), 859.0, 1_000_000, lineage="mujoco 2.1.0")
    write_tables(GridResults(grid, results), results)
    assert read_csv(results, "final_returns")[1]["probability_dima_better"] == ""


def test_stale_seeds_are_shown_and_not_averaged(make_grid: Any, results: Path, write_cell: Any) -> None:
    grid = make_grid({"final_returns": [(["ant-2x4"], ["dima"], [1, 2])]})
    write_cell(CellKey("ant-2x4", "dima", 1), 4000.0, 1_000_000)
    write_cell(CellKey("ant-2x4", "dima", 2), 9999.0, 1_000_000, config_hash="0ld")
    write_tables(GridResults(grid, results, {key: "c0ffee" for key in grid.cells}), results)
    line = read_csv(results, "final_returns")[0]
    assert (line["n"], line["mean"], line["seeds_without_result"]) == ("1", "4000", "2 stale")
    assert (line["verdict"], line["reason"]) == (
        "partial n=1/4",
        "the paper's number is of 4 runs; 1 stale (seed 2)",
    )


def test_the_ablation_has_a_row_for_each_budget_of_the_paper(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid(
        {"ablation_returns": [(["bottle-cap"], ["dima-joint"], range(1, 9))]},
        env_steps={"bottle-cap": 160_000},
    )
    for seed in range(1, 9):
        curve = {100_000: [230.0 + seed, 232.0 + seed], 160_000: [200.0, 200.0]} | (
            {150_000: [300.0]} if seed < 8 else {}
        )
        write_cell(CellKey("bottle-cap", "dima-joint", seed), 200.0, 160_000, curve=curve)
    write_tables(GridResults(grid, results), results)
    early, middle, end = read_csv(results, "ablation_returns")
    # seeds average 231 + seed: 232 ... 239
    assert (early["env_steps"], early["mean"], early["verdict"], early["mean_of_last_five"]) == (
        "100000",
        "235.5",
        "reproduced",
        "",
    )
    assert (middle["env_steps"], middle["n"], middle["mean"], middle["verdict"]) == (
        "150000",
        "7",
        "300",
        "partial n=7/8",
    )
    assert middle["reason"] == "1 not evaluated after 150,000 env steps (seed 8)"
    assert (end["env_steps"], end["verdict"], end["mean_of_last_five"]) == ("160000", "not comparable", "198")
    assert end["reason"] == "budget 160,000 of the paper's 200,000 env steps"


def test_tables_have_the_same_bytes_twice(make_grid: Any, results: Path, write_cell: Any) -> None:
    grid = make_grid({"final_returns": [(["ant-2x4"], ["dima"], [1, 2, 3])]})
    for seed in (1, 2, 3):
        write_cell(
            CellKey("ant-2x4", "dima", seed),
            4000.0 + seed / 7,
            1_000_000,
            provenance=[provenance(0), provenance(seed)],
        )
    first = [path.read_bytes() for path in write_tables(GridResults(grid, results), results)]
    assert [path.read_bytes() for path in write_tables(GridResults(grid, results), results)] == first
    assert read_csv(results, "final_returns")[0]["commits"] == "c0;c1;c2;c3"


def provenance(seed: int) -> dict[str, Any]:
    return {"commit": f"c{seed}", "dirty": True, "image": "none", "lock": None, "hardware": "CPU"}
