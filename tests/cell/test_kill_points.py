"""A cell killed before any one of its file operations while its attempt gives way to the next: real
processes, really killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from counting_cell import (
    CELL,
    FIRST,
    KEY,
    config_of,
    contents,
    count_instead_of_training,
    effective,
    half_a_run,
    in_a_process,
    run,
)

from dima.analysis.records.load import load_cells, read_curve
from dima.cell.checkpoint import load_checkpoint
from dima.config import CellConfig
from dima.config.grid import Grid

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
OTHERS = ("/sacred", "/lock", "/.lock")
LONGER = 2 * FIRST

pytestmark = [pytest.mark.slow, pytest.mark.remembered]


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    count_instead_of_training(monkeypatch)


def die_before(number: int) -> None:
    left = iter(range(number - 1))

    def count() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        changes = writes or event in CHANGES
        path = str(arguments[0]) if changes else ""
        if (
            changes
            and (str(CELL) in path or not path.startswith("/"))
            and not any(other in path for other in OTHERS)
        ):
            count()

    sync = os.fsync

    def counted_sync(descriptor: int) -> None:  # between what is written and its rename
        if not any(other in os.readlink(f"/proc/self/fd/{descriptor}") for other in OTHERS):
            count()
        sync(descriptor)

    os.fsync = counted_sync
    sys.addaudithook(hook)


class Case(NamedTuple):
    """What is left there, which command is killed, and which one comes after it."""

    finished: bool
    killed: dict[str, Any]
    then: dict[str, Any]
    env_steps: int = FIRST
    without_summary: bool = False


CASES = {
    "a finished cell from scratch": Case(True, {"from_scratch": True}, {}),
    "a finished cell forced by a workflow": Case(
        True, {"finished_after": 1e12}, {"finished_after": 0.0}, without_summary=True
    ),
    "half a cell from scratch": Case(False, {"from_scratch": True}, {}),
    "a finished cell with a smaller budget": Case(True, {}, {}, FIRST // 2),
    "a finished cell with a larger budget": Case(True, {}, {}, LONGER),
    "half a cell with a larger budget": Case(False, {}, {}, LONGER),
}


def shown(grid: Grid, results: Path) -> str:
    """What tables read of the cell; they refuse the whole grid for an invalid cell."""
    (record,) = load_cells(grid, [KEY], results)
    if record.summary:
        read_curve(record)
    return record.state


def run_and_die(number: int, config: CellConfig, results: Path, case: Case) -> None:
    die_before(number)
    run(config, results, **case.killed)


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def places(case: Case, tmp_path: Path, tiny: Grid) -> Iterator[tuple[int, Path]]:
    """For every operation, the results in which the process was killed before it."""
    left = tmp_path / "left"
    before = config_of(tiny)
    if case.finished:
        assert in_a_process(lambda: run(before, left)) == 0
    else:
        assert in_a_process(lambda: half_a_run(before, left)) == -signal.SIGKILL
    (left / CELL / "studies").mkdir()
    (left / CELL / "studies/orders.csv").write_text("of the first attempt")
    if case.without_summary:
        (left / CELL / "summary.json").rename(left / "summary.json")
    after = config_of(tiny, case.env_steps)
    for number in range(1, 1000):
        results = tmp_path / str(number)
        shutil.copytree(left, results)
        status = in_a_process(partial(run_and_die, number, after, results, case))
        if status == 0:
            assert number > 30  # or nothing was counted
            return
        assert status == -signal.SIGKILL
        yield number, results
        shutil.rmtree(results)


def test_the_next_command_finds_the_first_attempt_whole_or_makes_the_second(
    case: Case, tiny: Grid, tmp_path: Path
) -> None:
    left, after = tmp_path / "left" / CELL, config_of(tiny, case.env_steps)
    undisturbed = tmp_path / "undisturbed"
    assert in_a_process(lambda: run(after, undisturbed)) == 0
    numbers = set()
    for number, results in places(case, tmp_path, tiny):
        folder, first = results / CELL, results / CELL / "attempts/1"
        print(f"killed before operation {number}")
        shown(tiny, results)
        place = next(place for place in (folder, first) if any((place / "checkpoint").glob("[0-9]*")))
        assert load_checkpoint(place / "checkpoint")[0]
        assert in_a_process(lambda results=results: run(after, results, **case.then)) == 0
        history = json.loads((folder / "provenance.json").read_text())
        summary = json.loads((folder / "summary.json").read_text())
        numbers.add(history["attempt"])
        assert (history.get("set_aside"), summary["attempts"]) == (None, history["attempt"])
        assert not (folder / "attempts/2").exists()
        if history["attempt"] == 1 and not case.finished:
            assert (folder / "events.jsonl").read_bytes().startswith((left / "events.jsonl").read_bytes())
            continue
        if history["attempt"] == 1:
            kept = contents(folder)
            whole = {name: content for name, content in contents(left).items() if name != "lock"}
            if case.without_summary:
                whole["summary.json"] = (tmp_path / "left/summary.json").read_bytes()
            assert {name: kept[name] for name in whole} == whole
            continue
        archived = contents(first)
        for name in (
            "events.jsonl",
            "config.json",
            "studies/orders.csv",
            *(["completed.json"] if case.finished else []),
        ):
            assert archived[name] == (left / name).read_bytes()
        assert ("summary.json" in archived) == case.finished
        assert not (folder / "studies").exists()
        assert not (first / "checkpoint").exists()  # there is a new one
        assert load_checkpoint(folder / "checkpoint")[0]["learner"]["env_steps"] == case.env_steps
        assert effective(folder / "events.jsonl") == effective(undisturbed / CELL / "events.jsonl")
        assert summary["final"] == json.loads((undisturbed / CELL / "summary.json").read_text())["final"]
        if case.env_steps > FIRST:
            assert (folder / "events.jsonl").read_bytes().startswith((left / "events.jsonl").read_bytes())
            assert history["continued"]["attempt"] == 1
            assert history["continued"]["budget"] == FIRST
    assert numbers == ({1, 2} if case.env_steps == FIRST else {2})
