"""`benchmarks.collecting` and `benchmarks.cell_overhead` at toy size: shares add up, no file stays behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import cell_overhead, collecting
from dima.config import CellConfig
from dima.config.grid import CellKey, Grid

ORIGIN = {"commit", "dirty", "hardware", "python", "versions", "processors"}


@pytest.mark.parametrize("learning", [True, False])
def test_shares_of_collecting(tiny_cell: CellConfig, learning: bool) -> None:
    row = collecting.measure(tiny_cell, epochs=2, learning=learning)
    assert (row["grid"], row["task"], row["epochs"]) == ("tiny", "push-mass", 2)
    assert row["seconds_per_1000_steps"]["min"] > 0
    assert 0 < row["environment_share"]["min"] <= row["environment_share"]["max"] < 1
    assert (0 < row["epoch_share"]["max"] < 1) if learning else row["epoch_share"] is None
    assert collecting.table_line(row).startswith("tiny | push-mass | ")


def test_collecting_writes_a_row_for_every_cell(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "CONFIG", workplace / "workflow" / "config")
    monkeypatch.setattr(collecting, "CELLS", {"tiny": ("push-mass",)})
    collecting.main(["--epochs", "1", "--json", "found.json"])
    found = json.loads(Path("found.json").read_text(encoding="utf-8"))
    assert found.keys() == ORIGIN | {"rows"}
    assert [(row["task"], row["epoch_share"]) for row in found["rows"]] == [("push-mass", None)]
    assert "\ntiny | push-mass | " in capsys.readouterr().out


def test_a_cells_time_is_all_accounted_for(tiny: Grid) -> None:
    pytest.importorskip("harl")
    found = cell_overhead.measure(tiny.resolve(CellKey("push-mass", "mappo", 1)))
    assert (found["env_steps"], found["epochs"], found["evaluations"]) == (400, 4, 3)
    seconds = found["seconds"]
    assert min(seconds.values()) > 0
    assert seconds["whole"] == pytest.approx(
        sum(seconds[name] for name in ("epochs", "evaluations", "rest", "once"))
    )
    assert 0 < found["rest_share"] < 1


def test_cell_overhead_writes_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("harl")
    monkeypatch.chdir(tmp_path)
    cell_overhead.main(["--task", "push-mass", "--steps", "400", "--json", "found.json"])
    found = json.loads(Path("found.json").read_text(encoding="utf-8"))
    assert found.keys() == ORIGIN | {"task", "env_steps", "epochs", "evaluations", "seconds", "rest_share"}
    assert (found["task"], found["env_steps"], found["epochs"]) == ("push-mass", 400, 1)
    assert "neither learner nor evaluation: " in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]
