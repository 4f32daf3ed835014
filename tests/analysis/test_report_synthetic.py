"""The report at the paper's full size, from the synthetic grid: whole, light enough to open, and never to be taken for a result."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from analysis.html_page import Element, read_page
from synthetic_grid import LABEL, write_synthetic

from dima.analysis.report.write import write_report
from dima.grid import Grid, load_grid

MOST_BYTES = 1_000_000


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
        return write_report(grid, place / "results", {key: grid.resolve(key).digest() for key in grid.cells})[0].parent


@pytest.mark.slow
def test_every_page_says_that_it_is_synthetic(grid: Grid, report: Path) -> None:
    pages = [report / "index.html", *(report / "cells" / f"{key.folder}.html" for key in grid.cells)]
    assert len(pages) == 1 + 300
    assert sorted(report.rglob("*.html")) == sorted(pages)
    for path in pages:
        page = read_page(path)
        assert page.all("title")[0].text.startswith("SYNTHETIC: ")
        first, *_, last = [element.text for element in (*page.all("p", class_="synthetic"), *page.all("footer"))]
        assert first == f"SYNTHETIC RECORDS {LABEL}"
        assert last.startswith(LABEL)
    assert read_page(pages[0]).all("h1")[0].text == "Synthetic records, no results"


@pytest.mark.slow
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
def test_figures_of_world_models_are_shown_and_stamped(report: Path) -> None:
    shown = {picture.attributes["src"]: picture.attributes["alt"] for picture in read_page(report / "index.html").all("img")}
    for name in ("imagination", "agent_order"):
        assert f"{name.replace('_', ' ')} (synthetic); " in shown[f"files/{name}.png"]
        assert (report / f"files/{name}.svg").read_text(encoding="utf-8").count("<!-- SYNTHETIC") == 2


@pytest.mark.slow
def test_it_comes_again_with_the_same_bytes(place: Path, grid: Grid, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    first = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    write_report(grid, place / "results", {key: grid.resolve(key).digest() for key in grid.cells})
    assert {path: path.read_bytes() for path in report.rglob("*") if path.is_file()} == first
