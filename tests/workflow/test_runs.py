"""Which jobs run, and when again: the real rules over a stand-in that trains nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

QUICK = "experiments: {final_returns: [{tasks: [push-mass], methods: [dima, dima-joint], seeds: [1, 2]}]}\n"
FOLDER = "results/quick/cells/push-mass"
CELLS = [f"{FOLDER}/{method}/seed-{seed}" for method in ("dima", "dima-joint") for seed in (1, 2)]
AFTER = ["quick", "quick_figures", "quick_report", "quick_tables"]


@pytest.mark.slow
def test_what_runs_and_what_runs_again(stage) -> None:
    stage.write("quick.yaml", QUICK)
    first = stage.snakemake("--cores", "2", "quick")
    assert first.returncode == 0, first.stderr
    assert all((stage.folder / cell / "summary.json").exists() for cell in CELLS)
    assert (stage.folder / "results/quick/logs/push-mass/dima/seed-2.log").read_text(
        encoding="utf-8"
    ).split() == [sys.prefix, "1"]
    assert (stage.folder / "results/quick/tables/final_returns.md").read_text(
        encoding="utf-8"
    ) in first.stdout
    assert "Figure: results/quick/figures/learning_curves_toy.png" in first.stdout
    assert "Report: results/quick/report/index.html" in first.stdout
    assert "quick/push-mass/dima-joint/seed-2: 100%, return 12.5, completed" in first.stderr
    assert "4 of 4 cells done: 100%" in first.stderr
    assert "\r" not in first.stderr

    stage.write("quick.yaml", f"# a comment\n{QUICK}")
    assert "Nothing to be done" in stage.snakemake("--cores", "2", "quick").stderr

    stage.write(
        "quick.yaml", f"{QUICK}overrides: {{methods: {{dima-joint: {{behavior: {{horizon: 3}}}}}}}}\n"
    )
    assert stage.planned("quick") == sorted([*CELLS[2:], *AFTER])
    stage.write("quick.yaml", QUICK)

    (stage.folder / CELLS[1] / "summary.json").unlink()
    assert stage.planned("quick") == sorted([CELLS[1], *AFTER])
    kept = {path: path.stat().st_mtime_ns for path in stage.folder.glob("results/*/cells/*/*/*/summary.json")}
    table = stage.folder / "results/quick/tables/final_returns.md"
    page = stage.folder / "results/quick/report/index.html"
    old, old_page = table.read_text(encoding="utf-8"), page.read_text(encoding="utf-8")
    again = stage.snakemake("--cores", "1", f"{CELLS[1]}/summary.json")
    assert again.returncode == 0, again.stderr
    assert table.read_text(encoding="utf-8") in again.stdout
    assert table.read_text(encoding="utf-8") != old
    assert page.read_text(encoding="utf-8") != old_page
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert "Nothing to be done" in stage.snakemake("--cores", "2", "quick").stderr


def test_a_cell_that_fails_is_shown_with_the_end_of_its_log_and_costs_no_other(stage) -> None:
    stage.write("quick.yaml", QUICK)
    result = stage.snakemake("--profile", "local", "--cores", "2", "quick", FAILING="push-mass/dima/seed-2")
    assert result.returncode != 0
    assert "quick/push-mass/dima/seed-2: 100%, return 12.5, diverged: no number" in result.stderr
    assert "The end of results/quick/logs/push-mass/dima/seed-2.log:" in result.stderr
    assert "  dima: the loss is not finite" in result.stderr
    made = {
        str(path.parent.relative_to(stage.folder))
        for path in Path(stage.folder).glob("results/*/cells/*/*/*/summary.json")
    }
    assert made == set(CELLS) - {CELLS[1]}
    assert not (stage.folder / "results/quick/tables").exists()


def test_a_cell_that_is_killed_is_tried_again_twice(stage) -> None:
    stage.write("quick.yaml", QUICK.replace("[dima, dima-joint], seeds: [1, 2]", "[dima], seeds: [1]"))
    target = f"{CELLS[0]}/summary.json"
    assert (
        stage.snakemake(
            "--profile", "local", "--cores", "1", target, DYING="push-mass/dima/seed-1"
        ).returncode
        == 0
    )
    assert (stage.folder / "deaths").read_text(encoding="utf-8") == "***"
