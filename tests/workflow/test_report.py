"""Snakemake's own report: what is marked for it, as a ZIP file and as a single page."""

from __future__ import annotations

from zipfile import ZipFile

import pytest

QUICK = "experiments: {final_returns: [{tasks: [push-mass], methods: [dima], seeds: [1]}]}\n"


@pytest.mark.slow
def test_snakemakes_report_has_our_first_page_tables_figures_and_cells(stage) -> None:
    stage.write("quick.yaml", QUICK)
    assert stage.snakemake("--cores", "2", "quick").returncode == 0
    (stage.folder / "results/quick/report/cells").mkdir()
    (stage.folder / "results/quick/report/cells/page.html").write_text("a cell")
    for name in ("it.zip", "it.html"):
        made = stage.snakemake("quick", "--report", name)
        assert made.returncode == 0, made.stderr
        assert "Unknown target" not in made.stderr  # the introduction links to our page
    page = (stage.folder / "it.html").read_text(encoding="utf-8")
    for path in (
        "report/index.html",
        "tables/final_returns.csv",
        "figures/learning_curves_toy.png",
        "cells/push-mass/dima/seed-1/summary.json",
    ):
        assert f"results/quick/{path}" in page
    with ZipFile(stage.folder / "it.zip") as archive:
        names = archive.namelist()
        assert any(name.endswith("/cells/page.html") for name in names)
        (index,) = [name for name in names if name.endswith("/index.html")]
        assert archive.read(index) == (stage.folder / "results/quick/report/index.html").read_bytes()
