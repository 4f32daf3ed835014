"""The report from cell folders written by hand: what its pages say, and that they say it offline, escaped,
and with the same bytes."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from analysis.html_page import Element, read_page
from made_frames import write_frames

from dima.analysis.report.write import write_report
from dima.analysis.results import GridResults
from dima.config.grid import CellKey, Grid
from dima.errors import UserError

HOSTILE = "<script>alert('x')</script> & \"co\" {{ 7 * 7 }}"
START = {
    "commit": "abc123",
    "dirty": True,
    "image": "none",
    "lock": "10cc",
    "hardware": HOSTILE,
    "device": "cpu",
    "versions": {"torch": "2"},
}


def report_of(grid: Grid, results: Path, hashes: Any = None) -> Path:
    (page,) = write_report(GridResults(grid, results, hashes), results)
    assert page == results / "trial/report/index.html"
    return page.parent


def pages_of(report: Path) -> dict[str, Element]:
    return {path.relative_to(report).as_posix(): read_page(path) for path in sorted(report.rglob("*.html"))}


@pytest.fixture
def grid(make_grid: Any) -> Grid:
    return make_grid(
        {
            "final_returns": [
                (["ant-2x4"], ["dima", "mappo"], [1, 2, 3, 4]),
                (["push-mass"], ["dima", "dima-joint"], [1, 2, 3, 4]),
            ]
        }
    )


CONTINUED = {"attempt": 1, "digest": "d", "budget": 2000}


@pytest.fixture
def every_state(grid: Grid, results: Path, write_cell: Any, write_status: Any) -> Grid:
    for seed, value in enumerate((5000.0, 5200.0, 5400.0, 5600.0), 1):
        write_cell(CellKey("ant-2x4", "dima", seed), value, 1_000_000, wall_seconds=3600.0 * seed)
    write_cell(CellKey("ant-2x4", "mappo", 1), 850.0, 1_000_000, config_hash="0ld" * 9)
    write_cell(CellKey("ant-2x4", "mappo", 2), 850.0, 2000)
    write_cell(CellKey("push-mass", "dima", 1), 30.0, 4000, provenance=[START, START])
    folder = write_status(CellKey("push-mass", "dima", 2), "diverged")
    status = {"state": "diverged", "env_steps": 2500, "message": HOSTILE, "wall_seconds": 1800.0}
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "provenance.json").write_text(
        json.dumps({"attempt": 2, "starts": [START], "finished": False, "continued": CONTINUED})
    )
    (folder / "config.json").write_text(
        json.dumps({"digest": "d", "config": {"a": {"b": [1, 2]}, HOSTILE: HOSTILE}})
    )
    write_status(CellKey("push-mass", "dima", 3), "running")
    write_status(CellKey("push-mass", "dima", 4), "completed")
    write_status(CellKey("push-mass", "dima-joint", 1), "failed")
    return grid


def hashes_of(grid: Grid) -> dict[CellKey, str]:
    return dict.fromkeys(grid.cells, "c0ffee")


def test_every_row_has_the_numbers_of_the_csv(every_state: Grid, results: Path) -> None:
    report = report_of(every_state, results, hashes_of(every_state))
    index = read_page(report / "index.html")
    with (report / "files/final_returns.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["mean"] for line in lines] == ["5300", "", "30", ""]
    for line in lines:
        (row,) = index.all(
            "tr", data_task=line["task"], data_method=line["method"], data_env_steps=line["env_steps"]
        )
        values = [value.attributes["value"] for value in row.all("data")]
        assert values == [value for value in (line["mean"], line["difference"]) if value]
        (word,) = [
            span.text for span in row.all("span") if span.attributes.get("class", "").startswith("word ")
        ]
        assert word == line["verdict"]
        assert line["reason"] in row.text
        assert f"{line['n']}/{line['planned']}" in row.text
    # three or four of four drawn seeds are the lowest one in 13 of 256 resamples, more than the interval
    # leaves out
    assert index.all("tr", data_task="ant-2x4", data_method="dima")[0].text == (
        "dima 1,000,000 4/4 5300.0 ± 258.2 5300.0 [5000.0, 5600.0] 4881 ± 756 (4) +419.0 – reproduced"
    )


def test_every_cell_has_a_page_that_says_what_became_of_it(every_state: Grid, results: Path) -> None:
    report = report_of(every_state, results, hashes_of(every_state))
    index = read_page(report / "index.html")
    said = {}
    for key in every_state.cells:
        page = read_page(report / "cells" / f"{key.folder}.html")
        (heading,) = page.all("h1")
        assert heading.text == f"{key.method} on {every_state.task(key.task).label}, seed {key.seed}"
        said[key] = page.all("p", class_="lead")[0].text
    continued = read_page(report / "cells" / f"{CellKey('push-mass', 'dima', 2).folder}.html")
    assert (
        "2, 1 process, continues attempt 1, whose budget was 2,000 env steps" in continued.all("body")[0].text
    )
    returns = {link.attributes["href"]: link.text for link in index.all("table", class_="cells")[0].all("a")}
    assert set(returns) == {f"cells/{key.folder}.html" for key in every_state.cells}
    assert returns["cells/ant-2x4/dima/seed-3.html"] == "5400.0"
    assert returns["cells/ant-2x4/mappo/seed-3.html"] == "not run"
    assert said[CellKey("ant-2x4", "dima", 1)] == "completed"
    assert said[CellKey("ant-2x4", "mappo", 1)].startswith(
        "stale recorded with another configuration (0ld0ld0ld0ld) than the grid's (c0ffee)"
    )
    assert said[CellKey("ant-2x4", "mappo", 2)].startswith(
        "stale recorded with a budget of 2,000 env steps, the grid now asks for 1,000,000"
    )
    assert said[CellKey("ant-2x4", "mappo", 3)] == "not run it has no record"
    assert said[CellKey("push-mass", "dima", 2)] == f"diverged {HOSTILE}; not averaged"
    assert said[CellKey("push-mass", "dima", 3)].startswith("running it is running, or was killed")
    assert said[CellKey("push-mass", "dima", 4)] == "interrupted its summary is gone; not averaged"
    assert said[CellKey("push-mass", "dima-joint", 1)] == "failed no reason recorded; not averaged"
    (table,) = index.all("table", class_="failures")
    rows = {row.all("a")[0].text: row.text for row in table.all("tr")[1:]}
    assert set(rows) == {
        key.folder for key, text in said.items() if not text.startswith(("completed", "not run"))
    }
    assert rows["push-mass/dima/seed-2"] == f"push-mass/dima/seed-2 diverged 2,500 {HOSTILE}; not averaged"


def test_every_link_resolves_and_nothing_is_loaded_from_elsewhere(every_state: Grid, results: Path) -> None:
    report = report_of(every_state, results)
    pages = pages_of(report)
    assert len(pages) == 1 + len(every_state.cells)
    ids = {
        name: {element.attributes["id"] for element in everything(page) if "id" in element.attributes}
        for name, page in pages.items()
    }
    for name, page in pages.items():
        found = [element.attributes["id"] for element in everything(page) if "id" in element.attributes]
        assert len(found) == len(set(found))
        for element in everything(page):
            assert not {"srcset", "onclick", "onload", "background", "action"} & set(element.attributes)
            for attribute in {"href", "src", "poster", "data"} & set(element.attributes):
                target = element.attributes[attribute]
                if target.startswith("http"):
                    assert (element.name, target) == ("a", "https://arxiv.org/abs/2505.20922")
                    continue
                path, _, fragment = target.partition("#")
                to = (report / name).parent / path if path else report / name
                assert to.is_file(), f"{name} links to {target}"
                if fragment:
                    assert fragment in ids[to.resolve().relative_to(report.resolve()).as_posix()]
        style = page.all("style")[0].text
        assert not re.search(r"url\(|@import|//", style)
        assert not page.all("link")
        (policy,) = page.all("meta", http_equiv="Content-Security-Policy")
        assert policy.attributes["content"].startswith("default-src 'none';")


def everything(element: Element) -> list[Element]:
    return [element, *(below for child in element.children for below in everything(child))]


def test_what_records_say_is_text_and_never_markup(every_state: Grid, results: Path) -> None:
    report = report_of(every_state, results)
    pages = pages_of(report)
    scripts = {script.text for page in pages.values() for script in page.all("script")}
    assert len(scripts) == 1
    assert all(len(page.all("script")) == 1 for page in pages.values())
    assert HOSTILE in pages["index.html"].text
    page = pages["cells/push-mass/dima/seed-2.html"]
    (settings,) = page.all("table", class_="settings")
    assert [[cell.text for cell in (*row.all("th"), *row.all("td"))] for row in settings.all("tr")[1:]] == [
        [HOSTILE, HOSTILE],
        ["a.b", "[1, 2]"],
    ]
    assert [row.all("dd")[0].text for row in page.all("div") if row.text.startswith("hardware")] == [HOSTILE]


def test_accessible_names_are_there(every_state: Grid, results: Path) -> None:
    for page in pages_of(report_of(every_state, results)).values():
        assert page.all("html")[0].attributes["lang"] == "en"
        assert all(image.attributes["alt"] for image in page.all("img"))
        assert all(header.attributes.get("scope") for header in page.all("th"))
        assert all(chart.attributes["aria-label"] for chart in page.all("svg"))
        levels = [
            int(element.name[1]) for element in everything(page) if re.fullmatch("h[1-6]", element.name)
        ]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
        assert all(
            section.attributes["aria-labelledby"]
            in {heading.attributes.get("id") for heading in page.all("h2")}
            for section in page.all("section")
        )


def test_every_chart_reads_its_values_from_a_table_beside_it(every_state: Grid, results: Path) -> None:
    page = read_page(report_of(every_state, results, hashes_of(every_state)) / "index.html")
    charts = page.all("svg")
    assert len(charts) == 2
    for chart in charts:
        (table,) = page.all("table", id=chart.attributes["data-table"])
        methods = [header.text for header in table.all("thead")[0].all("th")[1:]]
        columns = [int(column) for column in chart.attributes["data-columns"].split()]
        # drawn in reverse: the first lies on top
        assert [line.attributes["data-line"] for line in chart.all("g") if "data-line" in line.attributes][
            ::-1
        ] == [methods[at] for at in columns]
    (table,) = page.all("table", id="values-ant-2x4")
    assert [
        [cell.text for cell in (*row.all("th"), *row.all("td"))] for row in table.all("tbody")[0].all("tr")
    ] == [
        ["0", "0.0 [0.0, 0.0]"],
        ["1,000,000", "5300.0 [5100.0, 5500.0]"],
    ]


def test_cost_is_by_method_and_hardware(every_state: Grid, results: Path) -> None:
    index = read_page(report_of(every_state, results, hashes_of(every_state)) / "index.html")
    (table,) = index.all("table", class_="costs")
    rows = [
        [cell.text for cell in (*row.all("th"), *row.all("td"))] for row in table.all("tbody")[0].all("tr")
    ]
    plain = "CPU, 2 cores, no GPU"
    # dima on Ant: 1 + 2 + 3 + 4 hours; mappo's two stale cells and dima's on push-mass 100.5 s each; a
    # diverged one half an hour
    assert rows == [
        ["dima", plain, "4", "10.00", "2.50", "0", "0.00"],
        ["mappo", plain, "0", "0.00", "–", "2", "0.06"],
        ["dima", HOSTILE, "1", "0.03", "0.03", "1", "0.50"],
    ]
    assert "Energy: not recorded." in index.text
    (origins,) = index.all("table", class_="origins")
    assert [row.all("td")[0].text + " " + row.all("td")[1].text for row in origins.all("tr")[1:]] == [
        "6 6",
        "2 3",
    ]


def test_figures_of_world_models_are_shown_from_the_studies_that_there_are(
    make_grid: Any, results: Path, write_cell: Any
) -> None:
    grid = make_grid(
        {
            "final_returns": [(["push-mass"], ["dima"], [1, 2])],
            "imagination": [(["push-mass"], ["dima"], [1])],
            "agent_order": [(["push-mass"], ["dima"], [1, 2])],
        }
    )
    for seed in (1, 2):
        write_frames(write_cell(CellKey("push-mass", "dima", seed), 30.0, 4000))
    report = report_of(grid, results)
    index = read_page(report / "index.html")
    shown = {picture.attributes["src"]: picture.attributes["alt"] for picture in index.all("img")}
    assert list(shown) == ["files/imagination.png", "files/agent_order.png"]
    assert shown["files/imagination.png"].startswith(
        "imagination; real states, and below them those that each world model imagines"
    )
    assert {f"files/imagination.{ending}" for ending in ("pdf", "svg")} <= {
        link.attributes["href"] for link in index.all("a")
    }
    first = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    assert {
        path: path.read_bytes() for path in report_of(grid, results).rglob("*") if path.is_file()
    } == first
    # two seeds of one experiment of returns, though three experiments name them
    assert len(index.all("tr", data_task="push-mass")) == 1


def test_a_film_is_shown_where_there_is_one(grid: Grid, results: Path, write_cell: Any) -> None:
    folder = write_cell(CellKey("push-mass", "dima", 1), 30.0, 4000)
    (folder / "film.mp4").write_bytes(b"a film")
    report = report_of(grid, results)
    (video,) = read_page(report / "cells/push-mass/dima/seed-1.html").all("video")
    assert (report / "cells/push-mass/dima" / video.attributes["src"]).read_bytes() == b"a film"
    other = read_page(report / "cells/push-mass/dima/seed-2.html")
    assert not other.all("video")
    assert "snakemake --cores 1 results/trial/cells/push-mass/dima/seed-2/film.mp4" in other.text


@pytest.mark.slow
@pytest.mark.remembered
def test_a_log_that_cannot_be_trusted_is_refused_or_shown_as_such(every_state: Grid, results: Path) -> None:
    report = report_of(every_state, results)
    before = (report / "index.html").read_bytes()
    cells = results / "trial/cells"
    (cells / "push-mass/dima/seed-2/events.jsonl").write_text('{"seq": 7, "kind": "evaluation"}\n')
    page = read_page(report_of(every_state, results) / "cells/push-mass/dima/seed-2.html")
    assert page.all("p", class_="fault")[0].text == (
        "The event log cannot be shown: Line 1 of push-mass/dima/seed-2/events.jsonl is not event 0 of a run."
    )
    log = cells / "push-mass/dima/seed-1/events.jsonl"
    log.write_text(
        log.read_text() + '{"seq": 4, "kind": "scalars", "group": "x", "values": {"loss": "low"}}\n'
    )
    with pytest.raises(
        UserError,
        match=r"push-mass/dima/seed-1/events\.jsonl holds an event that is not of this format \(seq 4\)",
    ):
        write_report(GridResults(every_state, results), results)
    assert (report / "index.html").read_bytes() == before
    assert [path.name for path in report.parent.iterdir() if "report" in path.name] == ["report"]


def test_a_report_is_replaced_as_a_whole(grid: Grid, results: Path) -> None:
    stray = report_of(grid, results) / "cells/left-over.html"
    stray.write_text("of a cell that the grid no longer has")
    report_of(grid, results)
    assert not stray.exists()


def test_no_address_of_a_database_is_ever_shown(grid: Grid, results: Path, write_status: Any) -> None:
    folder = write_status(CellKey("push-mass", "dima", 1), "failed")
    said = {
        "state": "failed",
        "message": "cannot reach mongodb+srv://dima:pa<ss@host/x?y=1 or mongodb://u:p@h, again",
    }
    (folder / "status.json").write_text(json.dumps(said))
    report = report_of(grid, results)
    text = "".join(path.read_text(encoding="utf-8") for path in report.rglob("*.html"))
    assert "mongodb" not in text
    assert "pa&lt;ss" not in text
    assert "cannot reach (an address) or (an address) again" in text


@pytest.mark.slow
@pytest.mark.remembered
def test_a_report_has_the_same_bytes_in_another_process_at_another_time(
    every_state: Grid, results: Path, tmp_path: Path
) -> None:
    report = report_of(every_state, results)
    first = {path: path.read_bytes() for path in sorted(report.rglob("*")) if path.is_file()}
    script = "import sys; from pathlib import Path; from dima.config.grid import load_grid; "
    script += (
        "from dima.analysis.report.write import write_report; from dima.analysis.results import GridResults; "
    )
    script += "results = GridResults(load_grid('trial', Path(sys.argv[1])), Path(sys.argv[2])); "
    script += "write_report(results, Path(sys.argv[2])); "
    script += "assert not {'torch', 'mujoco', 'envs'} & set(sys.modules)"
    environment = os.environ | {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", script, tmp_path / "config", results], check=True, env=environment)
    assert {path: path.read_bytes() for path in sorted(report.rglob("*")) if path.is_file()} == first
    assert str(tmp_path) not in "".join(
        content.decode("utf-8", errors="ignore") for content in first.values()
    )


def test_a_grid_without_a_table_or_a_record_has_a_report_too(make_grid: Any, results: Path) -> None:
    report = report_of(make_grid({"smoke": [(["push-mass"], ["dima"], [1])]}), results)
    index = read_page(report / "index.html")
    assert "0 of 1 cells completed, 1 not run" in index.text
    assert [table.text for table in index.all("table", class_="costs")][0].endswith("nothing has been run")
    assert index.all("p", class_="silence")[0].text == "not run"
    assert (
        read_page(report / "cells/push-mass/dima/seed-1.html").all("p", class_="lead")[0].text
        == "not run it has no record"
    )
