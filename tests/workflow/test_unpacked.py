"""A grid that was packed elsewhere and unpacked in a fresh checkout is finished there, and gives the same
tables."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from made_frames import write_frames

from dima.cell.attempts import begin_process
from dima.cli import main
from dima.config.grid import CellKey, Grid, load_grid
from dima.record.cell_state import is_finished
from dima.record.provenance import provenance
from dima.record.run_record import EvaluationEntry, RunRecord

QUICK = """experiments:
  final_returns: [{tasks: [push-mass], methods: [dima, dima-joint], seeds: [1, 2]}]
  imagination: [{tasks: [push-mass], methods: [dima, dima-joint], seeds: [1]}]
"""
CELLS = Path("results/quick/cells")
ARCHIVES = ["quick.push-mass.dima-joint.tar.xz", "quick.push-mass.dima.tar.xz"]


def run(grid: Grid, key: CellKey) -> None:
    """What a cell writes of itself, without the training."""
    config, folder = grid.resolve(key), CELLS / key.folder
    folder.mkdir(parents=True)
    history = begin_process(config, folder, provenance("cpu", None), from_scratch=False)
    record = RunRecord(config, folder, history, lambda *_: None)
    record.begin()
    for step in (0, config.task.env_steps):
        record.env_steps = step
        record.scalars({"denoiser": {"loss": 0.5}}, epoch=1)
        record.evaluation(step, step, [EvaluationEntry(step / 1000 + key.seed / 7, 50, None)] * 2)
    record.finish("numpy", 1)
    record.close()
    if key.seed == 1:
        write_frames(folder)


@pytest.mark.slow
def test_cells_that_were_unpacked_are_finished_and_give_the_same_tables(
    stage, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    stage.write("quick.yaml", QUICK)
    fresh = stage.folder / "fresh"
    shutil.copytree(stage.folder / "workflow", fresh / "workflow")
    monkeypatch.chdir(stage.folder)
    grid = load_grid("quick")
    for key in grid.cells:
        run(grid, key)
    assert main(["pack", "--grid", "quick", "--to", "records"]) == 0
    assert sorted(path.name for path in Path("records").iterdir()) == ARCHIVES
    assert (
        main(["tables", "--grid", "quick", "--of", "returns", "--from", "records", "--to", "from-archives"])
        == 0
    )
    assert main(["tables", "--grid", "quick", "--of", "returns"]) == 0

    monkeypatch.chdir(fresh)
    for name in ARCHIVES:  # the one whose policy acts in the other's frames comes last
        assert main(["unpack", "--grid", "quick", "--from", f"../records/{name}"]) == 0
    assert "results/quick: 2 cells restored, 0 already there" in capsys.readouterr().out
    assert all(is_finished(CELLS / key.folder, grid.resolve(key), math.inf) for key in grid.cells)
    whole = stage.folder
    stage.folder = fresh
    made = ["quick", "quick_figures", "quick_report", "quick_tables", "quick_world_model_figures"]
    assert stage.planned("quick") == made
    assert main(["tables", "--grid", "quick", "--of", "returns"]) == 0
    tables = [
        {path.name: path.read_bytes() for path in (place / "quick/tables").iterdir()}
        for place in (fresh / "results", whole / "results", whole / "from-archives")
    ]
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0]) == 9
