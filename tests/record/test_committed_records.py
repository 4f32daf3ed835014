"""The archives in `results/records`: whole, of today's configuration, from clean commits, and small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dima.config.grid import CellKey, load_grid
from dima.record.archive import archive_name, read_archive

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "results/records"
ARCHIVES = sorted(RECORDS.glob("*.tar.xz"))
BYTES_A_CELL, BYTES_IN_ALL = 40_000, 5_000_000


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def test_every_cell_counts_today_and_says_where_it_comes_from(path: Path) -> None:
    grid = load_grid("paper", ROOT / "workflow/config")
    cells = read_archive(path, "paper").cells
    assert path.stat().st_size <= BYTES_A_CELL * len(cells)
    for folder, files in cells.items():
        task, method, seed = folder.split("/")
        key = CellKey(task, method, int(seed.removeprefix("seed-")))
        assert path.name == archive_name("paper", task, method)
        assert key in grid.cells
        summary, history = json.loads(files["summary.json"]), json.loads(files["provenance.json"])
        assert summary["config_hash"] == grid.resolve(key).digest()
        assert (summary["env_steps"], summary["final"]["episodes"]) == (grid.task(task).env_steps, 10)
        assert history["finished"]
        assert {(len(start["commit"]), start["dirty"], start["image"]) for start in history["starts"]} == {
            (40, False, "none")
        }


def test_they_are_small() -> None:
    assert len(ARCHIVES) >= 14
    assert sum(path.stat().st_size for path in ARCHIVES) < BYTES_IN_ALL
