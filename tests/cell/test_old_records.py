"""Cells recorded by earlier commits count, and continue where they were.

`old_records/paper.halfcheetah-2x3.mappo.tar.xz` is one cell of the paper's grid as commit ad2eaec recorded
it, packed by `dima pack`; commit 8d690b9 made the tables `final_returns.*` of it.
`old_records/half-done.tar.xz` has a DIMA and a HASAC cell with tiny networks on push-mass, which commit
8d690b9 trained for 300 of 600 environment steps until SIGTERM, without Sacred's copy and one checkpoint.

Weights trained on two processors differ by rounding, so no test compares with weights of another machine.
That the half-done cells continue as they would have is shown in three steps which hold on any machine:

1. The checkpoint goes through the current learner and comes out with the same bits: nothing in it is ignored,
   dropped or converted.
2. A learner of the current code that trained for as many steps has the same state in structure (every key,
   shape, type and counter): nothing that it continues from is missing in the old checkpoint.
3. `dima train` continues the old folder to its budget, in the same attempt and log, and ends with the bits of
   a run continued from the checkpoint that step 1 saved again.
"""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from counting_cell import contents, effective

from dima.analysis.results import GridResults
from dima.analysis.tables.write import write_tables
from dima.campaign.cell_plan import cell_plans
from dima.campaign.unpack import unpack
from dima.cell.checkpoint import load_checkpoint, save_checkpoint
from dima.cell.methods import build_learner
from dima.cell.run import Execution, run_cell
from dima.config import CellConfig
from dima.config.grid import CellKey, load_grid
from dima.record.cell_state import next_step, read_files

ROOT = Path(__file__).parents[2]
OLD = Path(__file__).with_name("old_records")
FINISHED = CellKey("halfcheetah-2x3", "mappo", 2)
TRAINED = 300
CPU = torch.device("cpu")


def test_a_finished_cell_is_found_finished_and_its_tables_are_the_same_but_for_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # where the paper's numbers are
    config, cells = tmp_path / "config", tmp_path / "results/paper/cells"
    shutil.copytree(ROOT / "workflow/config", config)
    grid = yaml.safe_load((config / "paper.yaml").read_text(encoding="utf-8"))
    task, method, seed = FINISHED
    grid["experiments"] = {"final_returns": [{"tasks": [task], "methods": [method], "seeds": [seed]}]}
    (config / "paper.yaml").write_text(yaml.safe_dump(grid), encoding="utf-8")
    paper = load_grid("paper", config)

    unpack([OLD / "paper.halfcheetah-2x3.mappo.tar.xz"], "paper", tmp_path / "results")
    cell = paper.resolve(FINISHED)
    assert next_step(read_files(cells / FINISHED.folder), cell) == "nothing"
    assert [plan.fate for plan in cell_plans(paper, cells)] == ["finished"]
    before = contents(cells)
    run_cell(cell, cells / FINISHED.folder, Execution(CPU))
    assert contents(cells) == before

    results = GridResults(paper, tmp_path / "results", {FINISHED: cell.digest()})
    write_tables(results, tmp_path / "results", of="returns")
    tables = tmp_path / "results/paper/tables"
    old, new = (read_rows(folder / "final_returns.csv") for folder in (OLD, tables))
    assert (old.pop("reason"), new.pop("reason")) == (
        "the paper's number rests on 4 runs",
        "the paper's number is of 4 runs",
    )
    assert new == old
    old, new = (rows_of_markdown(folder / "final_returns.md") for folder in (OLD, tables))
    assert new == old


def read_rows(path: Path) -> dict[str, str]:
    """The one row of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    return row


def rows_of_markdown(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]


@pytest.fixture(params=["dima", "hasac"])
def half_done(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, CellConfig]:
    """The folder of a half-done cell, and its configuration."""
    with tarfile.open(OLD / "half-done.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / request.param
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))["config"]
    return folder, CellConfig.model_validate_json(json.dumps(config))


def structure(state: Any) -> Any:
    """Keys, types and shapes of a state tree."""
    if isinstance(state, dict):
        return {name: structure(value) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return [structure(value) for value in state]
    if isinstance(state, torch.Tensor | np.ndarray):
        return type(state), state.dtype, tuple(state.shape)
    return type(state)


def test_a_half_done_cell_continues_with_all_that_it_had(
    half_done: tuple[Path, CellConfig], tmp_path: Path, fingerprint: Callable[[Any], str]
) -> None:
    folder, config = half_done
    assert next_step(read_files(folder), config) == "continue"
    old, faults = load_checkpoint(folder / "checkpoint")
    assert old is not None
    assert not faults

    learner = build_learner(config, CPU)
    learner.load_state_dict(old["learner"])
    saved = learner.state_dict()
    learner.close()
    assert fingerprint(saved) == fingerprint(old["learner"])

    fresh = build_learner(config, CPU)
    while fresh.env_steps < TRAINED:
        fresh.run_epoch()
    state = fresh.state_dict()
    fresh.close()
    assert structure(state) == structure(old["learner"])
    assert (fresh.env_steps, fresh.epoch) == (learner.env_steps, learner.epoch)

    converted = tmp_path / "converted"
    shutil.copytree(folder, converted, ignore=shutil.ignore_patterns("checkpoint"))
    (converted / "checkpoint").mkdir()
    save_checkpoint(converted / "checkpoint", TRAINED, {**old, "learner": saved})
    log = (folder / "events.jsonl").read_bytes()
    ends = []
    for place in (folder, converted):
        run_cell(config, place, Execution(CPU))
        assert (place / "events.jsonl").read_bytes().startswith(log)
        history = json.loads((place / "provenance.json").read_text(encoding="utf-8"))
        assert (history["attempt"], len(history["starts"]), history["finished"]) == (1, 2, True)
        end, _ = load_checkpoint(place / "checkpoint")
        assert end is not None
        assert end["learner"]["env_steps"] == config.task.env_steps
        ends.append((fingerprint(end["learner"]), effective(place / "events.jsonl")))
    assert ends[0] == ends[1]
    assert ends[0][0] != fingerprint(old["learner"])
