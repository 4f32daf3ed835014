"""The record in MongoDB while a cell runs: whatever the database does, the run is the same and ends, says so
once, and sync makes good."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mongo_server import contents
from pymongo.errors import AutoReconnect

from dima.record.events import read_events
from dima.record.mongo import observer
from dima.record.mongo.database import Address
from dima.record.mongo.sync import sync
from dima.record.sacred_record import recorded
from dima.record.snapshot import RECORDS

ROOT = Path(__file__).parents[2]
CONFIG = {"grid": "trial", "task": {"name": "push-mass"}, "method": "dima", "seed": 1}
ADVICE = "The run continues; `dima sync` brings the database up to date."
UNREACHABLE = (
    f"dima: The database of DIMA_MONGO_URI cannot be reached: no server answered within 5 s. {ADVICE}\n"
)


class Flaky:
    """A database of which some calls fail: before they do anything, or after, when only the answer is
    lost."""

    def __init__(self, database: Any, fails: Any, late: bool) -> None:
        self._database, self._fails, self._late = database, fails, late
        self.calls = 0

    def __getitem__(self, name: str) -> Any:
        return _Collection(self, self._database[name])

    def call(self, method: Any, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        fails = self._fails(self.calls)
        if fails and not self._late:
            raise AutoReconnect("connection closed by mongodb://user:canary@db.example")
        answer = method(*arguments, **options)
        if fails:
            raise AutoReconnect("connection closed by mongodb://user:canary@db.example")
        return answer


class _Collection:
    def __init__(self, flaky: Flaky, collection: Any) -> None:
        self._flaky, self._collection = flaky, collection

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **options: self._flaky.call(
            getattr(self._collection, name), *arguments, **options
        )


@pytest.fixture
def run_once(attempt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, databases: Any) -> Any:
    """`run_once(fails, late)` records one and the same run, publishing all the time, to a new database;
    returns its address and calls."""
    monkeypatch.setattr(observer, "REST_SECONDS", 0.0)
    monkeypatch.setattr(observer, "REST_SHARE", 0)
    begin, publish = observer.connect, observer.publish

    def run(fails: Any, late: bool = False) -> tuple[str, int]:
        shutil.rmtree(attempt.folder, ignore_errors=True)
        attempt.seq = 0
        uri = databases.uri()
        monkeypatch.setenv("DIMA_MONGO_URI", uri)
        made: list[Flaky] = []
        tries: list[int] = []

        def connect(place: Address) -> Any:
            made.append(made[0] if made else Flaky(begin(place), fails, late))
            return made[-1]

        def counted(*arguments: Any) -> int:
            tries.append(1)
            return publish(*arguments)

        monkeypatch.setattr(observer, "connect", connect)
        monkeypatch.setattr(observer, "publish", counted)

        def train(metrics: Any) -> str:
            attempt.begin().evaluation(0, 1.0, 2.0)
            seen = len(tries)
            deadline = time.monotonic() + 1
            while len(tries) <= seen and time.monotonic() < deadline and not (made and made[0].calls > 200):
                time.sleep(0.005)
            metrics("denoiser.loss", 0.5, 10)
            attempt.epoch(10, 0.5).evaluation(20, 2.0, 4.0).end()
            return "trained"

        assert recorded("dima", CONFIG, attempt.folder, train) == "trained"
        return uri, made[0].calls

    return run


def test_a_database_that_never_fails_is_what_sync_makes(
    run_once: Any, attempt: Any, databases: Any, capfd: pytest.CaptureFixture
) -> None:
    uri, _ = run_once(lambda _: False)
    assert capfd.readouterr().err == ""
    live = contents(uri)
    assert [run["status"] for run in live["runs"]] == ["COMPLETED"]
    fresh = databases.uri()
    sync(Address(fresh, "X"), attempt.folder.parents[4])
    assert live == contents(fresh)
    assert json.loads((attempt.folder / "sacred/1/run.json").read_text())["status"] == "COMPLETED"
    assert json.loads((attempt.folder / "sacred/1/metrics.json").read_text())["denoiser.loss"]["values"] == [
        0.5
    ]


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("times", ["once", "again and again", "for ever"])
def test_a_database_that_fails_at_any_call_is_made_good_for_by_sync(
    run_once: Any, attempt: Any, capfd: pytest.CaptureFixture, times: str, late: bool
) -> None:
    results = attempt.folder.parents[4]
    uri, _ = run_once(lambda _: False)
    undisturbed = contents(uri)
    files = {name: (attempt.folder / name).read_bytes() for name in RECORDS}
    capfd.readouterr()
    for k in range(1, 100):
        plans = {
            "once": lambda n, k=k: n == k,
            "again and again": lambda n, k=k: n % k == 0,
            "for ever": lambda n, k=k: n >= k,
        }
        uri, calls = run_once(plans[times], late)
        warning = capfd.readouterr().err
        if calls < k:
            break
        assert warning == f"dima: The database of DIMA_MONGO_URI stopped answering. {ADVICE}\n", k
        assert {name: (attempt.folder / name).read_bytes() for name in RECORDS} == files
        sync(Address(uri, "X"), results)
        assert contents(uri) == undisturbed, k
    assert k > 40


def test_a_run_in_the_database_from_another_configuration_is_warned_of_and_left(
    run_once: Any,
    attempt: Any,
    new_attempt: Any,
    tmp_path: Path,
    capfd: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri, _ = run_once(lambda _: False)
    before = contents(uri)
    capfd.readouterr()
    monkeypatch.setenv("DIMA_MONGO_URI", uri)
    monkeypatch.undo()
    monkeypatch.setenv("DIMA_MONGO_URI", uri)
    other = new_attempt(tmp_path / "elsewhere/trial/cells/push-mass/dima/seed-1", "0ther")
    assert recorded("dima", CONFIG, other.folder, lambda _: other.whole()) is other
    warning = capfd.readouterr().err
    assert warning.count("\n") == 1
    assert "(hash c0ffee)" in warning
    assert "(hash 0ther)" in warning
    assert contents(uri) == before


CELL = Path("results/tiny/cells/push-mass")
TRAIN = [
    sys.executable,
    "-m",
    "dima",
    "train",
    "--grid",
    "tiny",
    "--task",
    "push-mass",
    "--seed",
    "1",
    "--checkpoint-seconds",
    "0",
]


def start(method: str, uri: str | None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DIMA_")} | {
        "PYTHONPATH": str(ROOT)
    }
    environment |= {"DIMA_MONGO_URI": uri} if uri else {}
    return subprocess.Popen(
        [*TRAIN, "--method", method],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> str:
    """What it said on the standard error, after it has ended well."""
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return errors


def events(method: str) -> list[dict[str, Any]]:
    found = read_events(CELL / method / "seed-1/events.jsonl")
    return [{name: value for name, value in event.items() if name != "wall_seconds"} for event in found]


def longer(folder: Path, steps: int) -> None:
    grid = folder / "workflow/config/tiny.yaml"
    grid.write_text(grid.read_text().replace("env_steps: 400", f"env_steps: {steps}"))


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 60
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize("method", ["dima", "mappo"])
def test_what_is_trained_depends_on_no_database(workplace: Path, databases: Any, method: str) -> None:
    """None, one that is there, one that is not: the same events bit for bit."""
    found = []
    for uri, warning in ((None, ""), (databases.uri(), ""), ("mongodb://127.0.0.1:1/dima", UNREACHABLE)):
        begun = time.monotonic()
        assert end(start(method, uri)) == warning
        assert time.monotonic() - begun < 60
        found.append(events(method))
        shutil.rmtree(workplace / "results")
    assert found[0] == found[1] == found[2]
    assert len(found[0]) >= 6


@pytest.mark.slow
@pytest.mark.remembered
def test_a_server_killed_while_a_cell_runs(workplace: Path, own_server: Any, databases: Any) -> None:
    longer(workplace, 5000)
    process = start("mappo", own_server.uri())
    deadline = time.monotonic() + 60
    while not contents(own_server.uri())["runs"]:
        assert time.monotonic() < deadline
    own_server.kill()
    killed_at = len(events("mappo"))
    errors = end(process)
    assert killed_at < len(events("mappo"))
    assert errors.count("\n") == 1
    assert ADVICE in errors
    own_server.start()
    assert contents(own_server.uri())["runs"][0]["status"] == "RUNNING"
    sync(Address(own_server.uri(), "X"), Path("results"))
    fresh = databases.uri()
    sync(Address(fresh, "X"), Path("results"))
    assert contents(own_server.uri()) == contents(fresh)
    assert contents(fresh)["runs"][0]["status"] == "COMPLETED"


@pytest.mark.slow
@pytest.mark.remembered
def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_half_a_minute(
    workplace: Path, own_server: Any
) -> None:
    longer(workplace, 4000)
    process = start("mappo", own_server.uri())
    deadline = time.monotonic() + 60
    while not contents(own_server.uri())["runs"]:
        assert time.monotonic() < deadline
    own_server.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    errors = end(process)
    assert time.monotonic() - begun < 60
    own_server.process.send_signal(signal.SIGCONT)
    assert errors.count("\n") == 1
    assert ADVICE in errors


@pytest.mark.slow
@pytest.mark.remembered
def test_a_killed_cell_is_brought_by_sync_and_continues_as_the_same_run(
    workplace: Path, databases: Any
) -> None:
    longer(workplace, 5000)
    uri = databases.uri()
    process = start("mappo", uri)
    log = CELL / "mappo/seed-1/events.jsonl"
    wait_for(log, "\n[")
    time.sleep(0.5)
    process.kill()
    process.communicate()
    sync(Address(uri, "X"), Path("results"))
    found = contents(uri)
    assert [(run["_id"], run["status"]) for run in found["runs"]] == [
        ("tiny/push-mass/mappo/seed-1/1", "RUNNING")
    ]
    assert log.read_bytes() in [chunk["data"] for chunk in found["fs.chunks"]]
    assert end(start("mappo", uri)) == ""
    fresh = databases.uri()
    sync(Address(fresh, "X"), Path("results"))
    assert contents(uri) == contents(fresh)
    (run,) = contents(uri)["runs"]
    assert (run["status"], len(run["experiment"]["repositories"])) == ("COMPLETED", 2)


@pytest.mark.slow
@pytest.mark.remembered
def test_a_stopped_cell_is_published_as_interrupted(workplace: Path, databases: Any) -> None:
    longer(workplace, 5000)
    uri = databases.uri()
    process = start("mappo", uri)
    wait_for(CELL / "mappo/seed-1/events.jsonl", "\n[")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 99
    assert errors.splitlines()[-1].startswith("dima: Stopped at a checkpoint at ")
    assert [run["status"] for run in contents(uri)["runs"]] == ["INTERRUPTED"]
