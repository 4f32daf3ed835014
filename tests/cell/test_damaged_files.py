"""Half a cell, left by a process that was killed, one small file of which is damaged: it continues, or is
refused by name."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from counting_cell import (
    CELL,
    HALF,
    config_of,
    contents,
    count_instead_of_training,
    effective,
    half_a_run,
    in_a_process,
    run,
)

import dima.cell.checkpoint_writer
from dima.cell.checkpoint import load_checkpoint, save_checkpoint
from dima.config.grid import Grid

DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_text(""),
    "torn": lambda path: path.write_text(path.read_text()[: len(path.read_text()) // 2]),
    "no object": lambda path: path.write_text("[]\n"),
    "without what is asked for": lambda path: path.write_text("{}\n"),
}
FIRST_CHECKPOINT = 100 * (HALF - 1)


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    count_instead_of_training(monkeypatch)


@pytest.fixture
def half(tiny: Grid, tmp_path: Path) -> Path:
    """Folder of half a cell."""
    assert in_a_process(partial(half_a_run, config_of(tiny), tmp_path)) == -signal.SIGKILL
    return tmp_path / CELL


@pytest.fixture
def command(tiny: Grid, tmp_path: Path):
    """`command(...)`: run the cell, or with `env_steps` another one; the exit status and what was printed."""

    def call(env_steps: int = 400, **execution: object) -> tuple[int, str]:
        output = tmp_path / "output"
        status = in_a_process(partial(run, config_of(tiny, env_steps), tmp_path, **execution), output)
        return status, output.read_text()

    return call


def history_in(folder: Path) -> dict[str, object]:
    return json.loads((folder / "provenance.json").read_text())


def as_of_an_older_version(folder: Path) -> None:
    """Neither the checkpoint nor `provenance.json` says what the attempt is."""
    state, _ = load_checkpoint(folder / "checkpoint")
    del state["history"]
    save_checkpoint(folder / "checkpoint", FIRST_CHECKPOINT, state)
    history = history_in(folder)
    del history["digest"], history["budget"]
    (folder / "provenance.json").write_text(json.dumps(history))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["provenance.json", "config.json"])
def test_a_cell_continues_from_its_checkpoint_and_the_file_is_made_again(
    half, command, tmp_path, name, damage
) -> None:
    history, config = history_in(half), (half / "config.json").read_text()
    damage(half / name)
    status, printed = command()
    assert status == 0, printed
    assert f"continuing at {FIRST_CHECKPOINT} of 400" in printed
    assert ("provenance.json is" in printed) == (name == "provenance.json")
    assert (half / "config.json").read_text() == config
    now = history_in(half)
    assert (now["starts"][:1], len(now["starts"])) == (history["starts"], 2)
    assert {**now, "starts": 0} == {**history, "starts": 0, "finished": True}
    assert not (half / "attempts").exists()


@pytest.mark.parametrize("name", ["provenance.json", "config.json"])
def test_what_an_older_version_left_is_refused_by_the_files_name_until_it_is_back(
    half, command, name
) -> None:
    as_of_an_older_version(half)
    whole = (half / name).read_text()
    (half / name).write_text("")
    before = contents(half)
    status, printed = command()
    assert status == 1
    assert f"UserError: {half / name} is damaged, and the checkpoint in its folder does not say" in printed
    assert "start again with --from-scratch, which keeps the checkpoint" in printed
    assert {**contents(half), "lock": b""} == {**before, "lock": b""}
    (half / name).write_text(whole)
    status, printed = command()
    assert (status, f"continuing at {FIRST_CHECKPOINT} of 400" in printed) == (0, True)
    assert history_in(half)["attempt"] == 1


@pytest.mark.parametrize("name", ["provenance.json", "config.json"])
def test_from_scratch_keeps_the_checkpoint_until_there_is_a_new_one(
    half, tiny, tmp_path, command, name
) -> None:
    as_of_an_older_version(half)
    (half / name).unlink()
    saved = contents(half / "checkpoint")

    assert (
        in_a_process(partial(die_before_the_first_checkpoint, config_of(tiny), tmp_path)) == -signal.SIGKILL
    )
    assert contents(half / "attempts/1/checkpoint") == saved
    assert command()[0] == 0
    assert history_in(half)["attempt"] == 2
    assert not (half / "attempts/1/checkpoint").exists()


def die_before_the_first_checkpoint(config, results) -> None:
    dima.cell.checkpoint_writer.write_checkpoint = lambda *_: os.kill(
        os.getpid(), signal.SIGKILL
    )  # in a process of its own
    run(config, results, from_scratch=True)


@pytest.mark.parametrize("damage", list(DAMAGES.values())[1:], ids=list(DAMAGES)[1:])
def test_a_damaged_summary_is_put_back(half, command, damage) -> None:
    assert command()[0] == 0
    whole = contents(half)
    damage(half / "summary.json")
    status, printed = command()
    assert (status, printed.strip().endswith("finished meanwhile, nothing to do.")) == (0, True)
    assert {**contents(half), "lock": b""} == {**whole, "lock": b""}


def test_a_damaged_summary_without_another_is_made_again(half, command) -> None:
    assert command()[0] == 0
    whole = json.loads((half / "summary.json").read_text())
    (half / "summary.json").write_text("")
    (half / "completed.json").write_text("{")
    status, printed = command()
    assert (status, "continuing at 400 of 400" in printed) == (0, True)
    made = json.loads((half / "summary.json").read_text())
    assert {**made, "wall_seconds": 0, "provenance": made["provenance"][:-1]} == {**whole, "wall_seconds": 0}


def test_without_a_checkpoint_there_is_nothing_to_lose_but_the_log_which_is_kept(half, command) -> None:
    shutil.rmtree(half / "checkpoint")
    log = (half / "events.jsonl").read_bytes()
    (half / "provenance.json").unlink()
    assert command()[0] == 0
    assert history_in(half)["attempt"] == 2
    assert (half / "attempts/1/events.jsonl").read_bytes() == log


def test_a_larger_budget_survives_a_damaged_file_too(half, command, tmp_path) -> None:
    (half / "config.json").write_text("")
    status, printed = command(env_steps=800)
    assert (status, f"continuing at {FIRST_CHECKPOINT} of 800" in printed) == (0, True)
    assert effective(half / "events.jsonl")[-1]["env_steps"] == 800
