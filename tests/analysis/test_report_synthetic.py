"""The report at the paper's full size, from the synthetic grid: whole, light enough to open, and never to be
taken for a result."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from analysis.html_page import Element, read_page
from synthetic_grid import LABEL, write_synthetic

from dima.analysis.report.write import write_report
from dima.analysis.results import GridResults
from dima.config.grid import Grid, load_grid

ROOT = Path(__file__).parents[2]
MOST_BYTES = 1_000_000
ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root in (
            "torch", "sacred", "safetensors", "vector_quantize_pytorch",
            "envs", "mujoco", "gymnasium", "snakemake", "harl",
        ):
            raise ModuleNotFoundError(f"No module named {root!r}", name=root)
sys.meta_path.insert(0, Absent())
from dima.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    write_synthetic(folder)
    return folder


@pytest.fixture(scope="module")
def grid(place: Path) -> Grid:
    return load_grid("synthetic", place / "workflow/config")


@pytest.fixture(scope="module")
def report(place: Path, grid: Grid) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return write_report(
            GridResults(grid, place / "results", {key: grid.resolve(key).digest() for key in grid.cells}),
            place / "results",
        )[0].parent


@pytest.mark.slow
@pytest.mark.remembered
def test_every_page_says_that_it_is_synthetic(grid: Grid, report: Path) -> None:
    pages = [report / "index.html", *(report / "cells" / f"{key.folder}.html" for key in grid.cells)]
    assert len(pages) == 1 + 300
    assert sorted(report.rglob("*.html")) == sorted(pages)
    for path in pages:
        page = read_page(path)
        assert page.all("title")[0].text.startswith("SYNTHETIC: ")
        first, *_, last = [
            element.text for element in (*page.all("p", class_="synthetic"), *page.all("footer"))
        ]
        assert first == f"SYNTHETIC RECORDS {LABEL}"
        assert last.startswith(LABEL)
    assert read_page(pages[0]).all("h1")[0].text == "Synthetic records, no results"


@pytest.mark.slow
@pytest.mark.remembered
def test_every_row_of_every_table_is_on_the_first_page_which_is_light_enough(report: Path) -> None:
    index = report / "index.html"
    assert index.stat().st_size < MOST_BYTES
    page = read_page(index)
    words = set()
    for name, count in (("final_returns", 66), ("ablation_returns", 14)):
        (table,) = page.all("table", id=f"table-{name.replace('_', '-')}")
        rows = [row for row in table.all("tr") if "data-task" in row.attributes]
        with (report / f"files/{name}.csv").open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        assert len(rows) == len(lines) == count
        for row, line in zip(rows, lines, strict=True):
            assert [row.attributes[f"data-{key}"] for key in ("task", "method", "env-steps")] == [
                line["task"],
                line["method"],
                line["env_steps"],
            ]
            assert [value.attributes["value"] for value in row.all("data")] == [
                value for value in (line["mean"], line["difference"]) if value
            ]
            assert word_in(row) == line["verdict"]
            words.add(line["verdict"].partition(" n=")[0])
    assert words == {"reproduced", "above", "below", "partial", "not comparable", "not run"}


def word_in(row: Element) -> str:
    (word,) = [span.text for span in row.all("span") if span.attributes.get("class", "").startswith("word ")]
    return word


@pytest.mark.slow
@pytest.mark.remembered
def test_figures_of_world_models_are_shown_and_stamped(report: Path) -> None:
    shown = {
        picture.attributes["src"]: picture.attributes["alt"]
        for picture in read_page(report / "index.html").all("img")
    }
    for name in ("imagination", "agent_order"):
        assert f"{name.replace('_', ' ')} (synthetic); " in shown[f"files/{name}.png"]
        assert (report / f"files/{name}.svg").read_text(encoding="utf-8").count("<!-- SYNTHETIC") == 2


@pytest.mark.slow
@pytest.mark.remembered
def test_everything_comes_again_with_the_same_bytes_where_nothing_for_training_is_installed(
    place: Path, report: Path
) -> None:
    """In another process, with another hash seed and time zone: the report, and with it every table and
    figure; studies and states."""
    first = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    assert len([path for path in first if path.parent.name == "files"]) == 5 * 3 + 7 * 3

    def dima(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", ABSENT, *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"}
        return subprocess.run(
            command, cwd=place, env=environment, check=False, capture_output=True, text=True
        )

    for command in (["report"], ["studies", "--task", "pen"], ["status"]):
        result = dima(*command, "--grid", "synthetic")
        assert result.returncode == 0, result.stderr
    assert {path: path.read_bytes() for path in report.rglob("*") if path.is_file()} == first
    refused = dima("train", "--grid", "quick", "--task", "push-mass", "--method", "dima", "--seed", "1")
    message = "dima: This command needs torch, which is not installed: pip install -e '.[training]'.\n"
    assert (refused.returncode, refused.stderr) == (2, message)
