"""A record or checkpoint of a method that has changed since is told apart in one sentence, and is neither
continued nor averaged."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CONFIG, ROOT

from dima.analysis.records.files import FileRecords
from dima.analysis.records.load import load_cells
from dima.analysis.report.cell_files import read_cell
from dima.analysis.studies.over_seeds import assemble
from dima.campaign.cell_plan import cell_plans
from dima.cell.attempts import begin_process
from dima.cli import main
from dima.config import CellConfig, older_method
from dima.config.grid import CellKey, Grid, load_grid
from dima.errors import UserError
from dima.studies.run import run_study

EVIDENCE = ROOT / "benchmarks/evidence"
KEY = CellKey("push-mass", "dima", 1)
SENTENCE = "trained by an older method, which differs in parameters.denoiser.action_encoder.attention_bias"


def aged(config: CellConfig) -> dict[str, Any]:
    """The configuration as it was before the attention of the action encoder could be told to have biases."""
    values = config.model_dump(mode="json")
    del values["parameters"]["denoiser"]["action_encoder"]["attention_bias"]
    return values


@pytest.fixture
def old_cell(tiny: Grid, tiny_cell: CellConfig, tmp_path: Path) -> Path:
    """A finished cell of the grid `tiny` in `results`, its configuration that of an older method."""
    folder = tmp_path / "results/tiny/cells" / KEY.folder
    (folder / "studies").mkdir(parents=True)
    mean, budget = 31.0, tiny_cell.task.env_steps
    run = {"commit": "c", "dirty": False, "image": "none", "lock": "l", "device": "cpu", "hardware": "CPU"}
    summary = {
        "format": 1, "grid": "tiny", "task": KEY.task, "method": KEY.method, "seed": KEY.seed, "status": "completed", "engine": "native",
        "lineage": "push-mass", "budget": budget, "final": {"grid_step": budget, "mean": mean, "returns": [mean]},
        "mean_of_last_five": mean, "config_hash": "0ld", "attempts": 1, "wall_seconds": 1.0, "provenance": [run],
    }  # fmt: skip
    records = {
        "summary.json": summary,
        "config.json": {"digest": "0ld", "config": aged(tiny_cell)},
        "provenance.json": {"attempt": 1, "starts": [run], "finished": True},
    }
    for name, content in records.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def test_real_records_of_before_are_of_an_older_method_where_the_method_has_changed() -> None:
    """DIMA's and MARIE's as they were recorded; MAMBA, MAPPO and HAPPO are as they were."""
    records = {
        path.relative_to(EVIDENCE).as_posix(): json.loads(path.read_text())
        for path in sorted(EVIDENCE.rglob("config.json"))
    }
    found = {path: older_method(record["config"]) for path, record in records.items()}
    changed = {path for path in found if path.startswith("halfcheetah-cpu") or "/marie/" in path}
    assert {path for path, older in found.items() if older} == changed
    assert (len(changed), len(found)) == (4, 12)
    for path, record in records.items():
        config = record["config"]
        now = load_grid(config["grid"], CONFIG).resolve(
            CellKey(config["task"]["name"], config["method"], config["seed"])
        )
        assert (now.digest() == record["digest"]) == (path not in changed), path
    dima = found["halfcheetah-cpu/seed-1/config.json"]
    assert (
        dima == "trained by an older method, which differs in parameters.replay.recency_remainder and 6 more"
    )


def test_another_value_and_what_is_no_configuration_are_no_older_method(tiny_cell: CellConfig) -> None:
    values = tiny_cell.model_dump(mode="json")
    assert older_method(values) == ""
    values["parameters"]["denoiser"]["batch_size"] = 17
    assert older_method(values) == ""
    values["parameters"]["denoiser"]["batch_size"] = "many"
    assert older_method(values) == ""
    assert [older_method(other) for other in (None, {}, {"grid": "tiny"}, [1])] == [""] * 4
    assert older_method(aged(tiny_cell)) == SENTENCE
    more = copy.deepcopy(values)
    more["parameters"]["denoiser"]["forgotten"] = 1
    assert older_method(more) == "trained by an older method, which differs in parameters.denoiser.forgotten"


def test_tables_plan_and_report_say_so_and_average_nothing(
    tiny: Grid, tiny_cell: CellConfig, old_cell: Path
) -> None:
    records = FileRecords(old_cell.parents[2])
    (record,) = load_cells(tiny, [KEY], records, {KEY: tiny_cell.digest()})
    assert record.state == "trained by an older method"
    assert read_cell(tiny, record, tiny_cell.digest()).why == f"{SENTENCE}; not averaged"
    plan = next(plan for plan in cell_plans(tiny, old_cell.parents[2]) if plan.key == KEY)
    assert (plan.fate, plan.reason) == ("anew", SENTENCE)


def test_the_record_of_another_attempt_is_just_stale(
    tiny: Grid, tiny_cell: CellConfig, old_cell: Path
) -> None:
    """The summary is not of the configuration beside it: nothing is known of its method."""
    (old_cell / "config.json").write_text(json.dumps({"digest": "other", "config": aged(tiny_cell)}))
    (record,) = load_cells(tiny, [KEY], FileRecords(old_cell.parents[2]), {KEY: tiny_cell.digest()})
    assert record.state == "stale"


def test_its_studies_are_not_averaged_with_others(tiny: Grid, tiny_cell: CellConfig, old_cell: Path) -> None:
    study = old_cell / "studies/gain.csv"
    study.write_text(
        "order,agent,position,gain,low,high,correlation,segments\ndescending,1,2,0.5,0,1,0.5,9\n"
    )
    results = old_cell.parents[4]
    with pytest.raises(UserError) as refused:
        assemble(tiny, results, "push-mass", "gain")
    assert str(refused.value) == f"{study} is of a cell {SENTENCE}: train it again, or remove the file."
    (old_cell / "config.json").write_text(
        json.dumps({"digest": "new", "config": tiny_cell.model_dump(mode="json")})
    )
    assert assemble(tiny, results, "push-mass", "gain")[0].seeds == 1


def test_it_is_neither_studied_nor_rendered(
    tiny_cell: CellConfig, old_cell: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (old_cell / "checkpoint/000000000400").mkdir(parents=True)
    with pytest.raises(UserError) as refused:
        run_study("gain", tiny_cell, old_cell, 8, torch.device("cpu"))
    assert str(refused.value) == f"{old_cell} was {SENTENCE}: train it again."
    assert (
        main(["render", "push-mass", "--policy", str(old_cell), "--output", str(old_cell / "film.mp4")]) == 2
    )
    assert capsys.readouterr().err == f"dima: {old_cell} was {SENTENCE}: train it again.\n"


def test_training_begins_anew_and_says_why(
    tiny_cell: CellConfig, old_cell: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (old_cell / "config.json").read_text()
    (old_cell / "checkpoint/000000000400").mkdir(parents=True)
    begin_process(tiny_cell, old_cell, {}, from_scratch=False)
    assert capsys.readouterr().out == f"{old_cell} starts again: it was {SENTENCE}.\n"
    assert (old_cell / "attempts/1/config.json").read_text() == before
    assert not (old_cell / "checkpoint").exists()
    begin_process(tiny_cell, old_cell, {}, from_scratch=False)
    assert capsys.readouterr().out == ""
