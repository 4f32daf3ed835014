"""The synthetic grid: whole, the same every time, and labelled wherever it is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from latex import has_booktabs
from synthetic_grid import FAULTS, LABEL, write_synthetic

from dima.analysis.figures.write import write_figures
from dima.analysis.records.load import load_cells, read_curve, synthetic_label
from dima.analysis.results import GridResults
from dima.analysis.studies.frames import read_frames
from dima.analysis.tables.write import write_tables
from dima.config.grid import CellKey, load_grid
from dima.errors import UserError

REPOSITORY = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    write_synthetic(folder)
    return folder


def test_it_is_the_papers_grid_and_no_target_of_the_workflow(place: Path) -> None:
    grid, paper = (
        load_grid("synthetic", place / "workflow/config"),
        load_grid("paper", REPOSITORY / "workflow/config"),
    )
    assert grid.cells == paper.cells
    assert len(grid.experiments["final_returns"]) == 264
    assert not (REPOSITORY / "workflow/config/synthetic.yaml").exists()


def test_every_state_occurs_and_every_record_is_in_order(place: Path) -> None:
    grid = load_grid("synthetic", place / "workflow/config")
    hashes = {key: grid.resolve(key).digest() for key in grid.cells}
    cells = load_cells(grid, grid.cells, place / "results", hashes)
    expected = Counter(state for faults in FAULTS.values() for state in faults.values())
    expected["completed"] = len(grid.cells) - expected.total()
    assert Counter(cell.state for cell in cells) == expected
    assert set(expected) == {"completed", "stale", "diverged", "failed", "interrupted", "running", "not run"}
    for cell in cells:
        if cell.summary:
            assert max(read_curve(cell)) == cell.summary.budget
    assert synthetic_label(cells) == LABEL


def test_every_file_of_it_says_that_it_is_synthetic_and_comes_again_with_the_same_bytes(
    place: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    write_synthetic(again)
    files = sorted(path for path in (place / "results").rglob("*") if path.is_file())
    assert len(files) > 264 * 4
    for path in files:
        content = path.read_bytes()
        assert content == (again / path.relative_to(place)).read_bytes()
        label = read_frames(content, "").synthetic if path.suffix == ".npz" else content.decode()
        assert LABEL in str(label)


@pytest.fixture(scope="module")
def tables(place: Path) -> Path:
    """The folder of the synthetic grid's tables."""
    return write_synthetic_tables(place)[0].parent


def write_synthetic_tables(place: Path) -> list[Path]:
    grid = load_grid("synthetic", place / "workflow/config")
    return write_tables(
        GridResults(grid, place / "results", {key: grid.resolve(key).digest() for key in grid.cells}),
        place / "results",
    )


@pytest.mark.parametrize("name", [path.name for path in sorted(GOLDEN.iterdir())])
def test_tables_are_the_golden_ones(tables: Path, name: str) -> None:
    """To accept a change: write the tables as `synthetic_grid` says, look at what differs, and copy the .md
    and .csv files to `golden`."""
    assert (tables / name).read_text(encoding="utf-8") == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_table_has_a_golden_one(tables: Path) -> None:
    assert {path.name for path in tables.iterdir() if path.suffix in (".md", ".csv")} == {
        path.name for path in GOLDEN.iterdir()
    }


def test_every_word_of_the_tables_occurs(tables: Path) -> None:
    texts = [path.read_text(encoding="utf-8") for path in tables.glob("*.md")]
    assert all(text.splitlines()[2] == f"**{LABEL}**" for text in texts)
    everything = "".join(texts)
    words = [
        "reproduced ",
        "above ",
        "below ",
        "not comparable [",
        "partial n=3/4 [",
        "partial n=0/4 [",
        "not run ",
    ]
    words += [
        "1 diverged (seed 2)",
        "2 diverged (seeds 1, 3)",
        "1 stale (seed 3)",
        "4 failed (seeds 1, 2, 3, 4)",
        "1 running (seed 1)",
    ]
    words += [
        "engines mixed across the seeds: checkout, harl",
        "the paper's Table 2 (row misprinted as BottleCap)",
        "(out of memory)",
    ]
    words += ["**", "<ins>", "other physics than dima's", "1 interrupted (seed 8)"]
    assert [word for word in words if word not in everything] == []


def test_tables_have_the_same_bytes_from_records_made_again(tables: Path, tmp_path: Path) -> None:
    write_synthetic(tmp_path)
    again = write_synthetic_tables(tmp_path)
    assert {path.name: path.read_bytes() for path in again} == {
        path.name: path.read_bytes() for path in tables.iterdir()
    }


@pytest.mark.skipif(not has_booktabs(), reason="pdflatex or booktabs is not installed")
def test_all_tables_compile(tables: Path, tmp_path: Path) -> None:
    bodies = "\\clearpage\n".join(path.read_text(encoding="utf-8") for path in sorted(tables.glob("*.tex")))
    packages = "\\usepackage{booktabs}\\usepackage[paperwidth=60cm,paperheight=60cm]{geometry}"
    text = f"\\documentclass{{article}}{packages}\\begin{{document}}{bodies}\\end{{document}}"
    (tmp_path / "tables.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "tables.tex"]
    log = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "(5 pages" in log
    assert "Overfull \\hbox" not in log


def test_synthetic_records_among_real_ones_are_refused(
    make_grid: Any, results: Path, write_cell: Any, write_status: Any
) -> None:
    grid = make_grid(
        {
            "final_returns": [(["push-mass"], ["dima"], [1, 2, 3])],
            "ablation_returns": [(["push-mass"], ["dima-joint"], [1])],
        }
    )
    write_cell(CellKey("push-mass", "dima", 1), 31.0, 4000)
    assert synthetic_label(load_cells(grid, grid.cells, results)) is None
    made_up = write_status(CellKey("push-mass", "dima", 2), "diverged") / "status.json"
    made_up.write_text(json.dumps({"state": "diverged", "synthetic": "made up"}))
    message = r"never shown together with others: .*seed-1 is not, .*seed-2 is synthetic\."
    for write in (write_tables, write_figures):
        with pytest.raises(UserError, match=message):
            write(GridResults(grid, results), results)
    assert not (results / "trial/tables").exists()
    made_up.unlink()
    write_cell(CellKey("push-mass", "dima-joint", 1), 31.0, 4000, synthetic="made up")
    for write in (write_tables, write_figures):  # also where no table holds both
        with pytest.raises(UserError, match="never shown together"):
            write(GridResults(grid, results), results)
    assert not (results / "trial/tables").exists()


def test_the_status_of_the_cells_says_that_they_are_synthetic(place: Path) -> None:
    command = [sys.executable, "-m", "dima", "status", "--grid", "synthetic"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    text = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert [line.strip() for line in text.splitlines()[:2]] == [
        LABEL,
        "300 cells: 273 completed, 17 not run, 3 diverged, 1 running, 5 failed, 1 interrupted",
    ]


def test_every_table_and_figure_says_that_it_is_synthetic(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid({"final_returns": [(["push-mass"], ["dima", "mappo"], [1])]})
    write_cell(CellKey("push-mass", "dima", 1), 31.0, 4000, synthetic="SYNTHETIC: made up")
    paths = [
        *write_tables(GridResults(grid, results), results),
        *write_figures(GridResults(grid, results), results),
    ]
    for path in paths:
        if path.suffix in (".csv", ".md", ".tex"):
            assert "SYNTHETIC: made up" in path.read_text(encoding="utf-8")
        elif path.suffix == ".svg":
            assert (
                path.read_text(encoding="utf-8").count("<!-- SYNTHETIC") == 2
            )  # below the title, and across the panels
