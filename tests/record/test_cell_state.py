"""Every state of a cell's folder and the next step: the table of `dima.record.cell_state`, row by row."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

import dima.record.cell_state
from dima.config import CellConfig
from dima.record.cell_state import State, Step, is_finished, next_step, read_files, read_status, state_of

THIS, ANOTHER, DAMAGED, ABSENT = "this", "another", "damaged", None
COMPLETED_AT = 1000.0
PLAIN, WORKFLOW, FORCED_BEFORE, FORCED_AFTER = math.inf, 0.0, COMPLETED_AT - 1, COMPLETED_AT + 1


def history(digest: str | None, *, finished: bool = False, **more: str) -> dict[str, Any]:
    return {"attempt": 1, "starts": [], "finished": finished, "budget": 400, "digest": digest, **more}


ROWS: dict[str, tuple[State, dict[str, Any], tuple[Step, Step, Step, Step]]] = {
    # files; the step alone, in a workflow, in one that forced the cell before it finished, and after that
    "given up": (
        "given up",
        {"history": history(THIS, set_aside="finished"), "summary": THIS, "completed": THIS},
        ("replace", "replace", "replace", "replace"),
    ),
    "finished": (
        "finished",
        {"history": history(THIS, finished=True), "summary": THIS, "completed": THIS, "checkpoint": True},
        ("nothing", "nothing", "nothing", "replace"),
    ),
    "killed before completed.json was written": (
        "finished",
        {"history": history(THIS), "summary": THIS, "checkpoint": True},
        ("nothing", "nothing", "continue", "continue"),
    ),
    "killed before provenance.json was written": (
        "finished",
        {"history": history(THIS), "summary": THIS, "completed": THIS, "checkpoint": True},
        ("nothing", "nothing", "nothing", "continue"),
    ),
    "summary alone": ("finished", {"summary": THIS}, ("nothing", "nothing", "continue", "continue")),
    "summary damaged": (
        "summary damaged",
        {"history": history(THIS, finished=True), "summary": DAMAGED, "completed": THIS},
        ("restore summary", "restore summary", "restore summary", "replace"),
    ),
    "summary removed": (
        "summary removed",
        {"history": history(THIS, finished=True), "completed": THIS, "checkpoint": True},
        ("replace", "restore summary", "restore summary", "replace"),
    ),
    "empty": ("empty", {}, ("begin", "begin", "begin", "begin")),
    "no history": ("unknown", {"checkpoint": True}, ("refuse",) * 4),
    "no digest": ("unknown", {"history": history(None), "checkpoint": True}, ("refuse",) * 4),
    "log alone": ("torn", {"events": True}, ("replace",) * 4),
    "history without a digest": ("torn", {"history": history(None)}, ("replace",) * 4),
    "another configuration": (
        "another configuration",
        {"history": history(ANOTHER), "checkpoint": True},
        ("replace",) * 4,
    ),
    "finished with another configuration": (
        "another configuration",
        {
            "history": history(ANOTHER, finished=True),
            "summary": ANOTHER,
            "completed": ANOTHER,
            "checkpoint": True,
        },
        ("replace",) * 4,
    ),
    "another configuration by its summary": (
        "another configuration",
        {"history": history(None), "summary": ANOTHER},
        ("replace",) * 4,
    ),
    "both summaries lost": (
        "both summaries lost",
        {"history": history(THIS, finished=True), "checkpoint": True},
        ("replace",) * 4,
    ),
    "both summaries damaged, without a checkpoint": (
        "both summaries lost",
        {"history": history(THIS, finished=True), "summary": DAMAGED, "completed": DAMAGED},
        ("replace",) * 4,
    ),
    "both summaries damaged": (
        "unfinished",
        {
            "history": history(THIS, finished=True),
            "summary": DAMAGED,
            "completed": DAMAGED,
            "checkpoint": True,
        },
        ("continue",) * 4,
    ),
    "unfinished": ("unfinished", {"history": history(THIS), "checkpoint": True}, ("continue",) * 4),
    "before the first checkpoint": ("unfinished", {"history": history(THIS)}, ("continue",) * 4),
}


@pytest.fixture
def written(tiny_cell: CellConfig, tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """`written(files)`: a folder with these files."""
    digests = {THIS: tiny_cell.digest(), ANOTHER: "another", None: None}

    def write(files: dict[str, Any]) -> Path:
        if "history" in files:
            content = files["history"]
            text = json.dumps({**content, "digest": digests[content["digest"]]})
            (tmp_path / "provenance.json").write_text(text)
        for name in ("summary", "completed"):
            if files.get(name):
                whole = json.dumps({"config_hash": digests.get(files[name]), "budget": 400})
                (tmp_path / f"{name}.json").write_text("{" if files[name] == DAMAGED else whole)
                os.utime(tmp_path / f"{name}.json", (COMPLETED_AT, COMPLETED_AT))
        if files.get("checkpoint"):
            (tmp_path / "checkpoint/000000000400").mkdir(parents=True)
        if files.get("events"):
            (tmp_path / "events.jsonl").touch()
        return tmp_path

    return write


@pytest.mark.parametrize(("state", "files", "steps"), ROWS.values(), ids=ROWS)
def test_every_row(
    tiny_cell: CellConfig,
    written: Callable[[dict[str, Any]], Path],
    state: State,
    files: dict[str, Any],
    steps: tuple[Step, ...],
) -> None:
    folder = written(files)
    found = read_files(folder)
    assert state_of(found, tiny_cell) == state
    times = (PLAIN, WORKFLOW, FORCED_BEFORE, FORCED_AFTER)
    assert tuple(next_step(found, tiny_cell, finished_after=time) for time in times) == steps
    from_scratch = next_step(found, tiny_cell, finished_after=WORKFLOW, from_scratch=True)
    assert from_scratch == ("begin" if state == "empty" else "replace")
    assert [is_finished(folder, tiny_cell, time) for time in times] == [
        step in ("nothing", "restore summary") for step in steps
    ]


def test_the_docstring_has_a_row_for_every_state_and_step_and_so_has_this_test() -> None:
    text = dima.record.cell_state.__doc__ or ""
    states = set(get_args(State))
    assert {state for state, _, _ in ROWS.values()} == states
    first, second = (re.findall(r"^\| ([a-z, ]+) \|", part, re.MULTILINE) for part in text.split("next step"))
    assert {"state", *states} == set(first)
    assert {name for cell in second for name in cell.split(", ")} == states
    assert set(re.findall(r"`(\w+(?: \w+)?)`", text)) >= set(get_args(Step))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"state": "asleep"}', '{"state": "running", "env_steps": "1"}']
)
def test_a_damaged_status_is_none(tmp_path: Path, content: str) -> None:
    assert read_status(tmp_path) is None
    (tmp_path / "status.json").write_text(content)
    assert read_status(tmp_path) is None
    (tmp_path / "status.json").write_text('{"state": "running"}')
    assert read_status(tmp_path) is not None
