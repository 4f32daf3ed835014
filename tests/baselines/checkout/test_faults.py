"""What goes wrong while a checkout's program runs: real processes, killed for real."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dima.baselines.checkout import guard
from dima.cli import main
from dima.record.events import read_events

RETURNS = [(300, -162.5), (600, -125.0), (900, -87.5), (1200, -50.0), (1250, -37.5)]


def returns(folder: Path) -> list[tuple[int, float]]:
    return [
        (event["grid_step"], event["return"])
        for event in read_events(folder / "events.jsonl")
        if event["kind"] == "evaluation"
    ]


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def wait_until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def survivors(pids: Path) -> list[int]:
    return [process for process in map(int, pids.read_text().split()) if alive(process)]


@pytest.fixture
def running(upstreams, monkeypatch, tmp_path):
    """`running()`: dima on a cell that has recorded its first evaluation of five, and the file that names its
    processes."""
    started = []

    def start(method="mappo-checkout"):
        pids = tmp_path / "pids"
        environment = {**os.environ, "STAND_IN_PAUSE": "0.2", "STAND_IN_PIDS": str(pids)}
        command = [sys.executable, "-m", "dima", *upstreams.arguments(method)]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        events = upstreams.folder(method) / "events.jsonl"
        wait_until(lambda: events.exists() and '"evaluation"' in events.read_text())
        assert len(survivors(pids)) == 3  # the guard, the program, and its worker in another session
        return process, pids

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_killed_cell_leaves_no_process_and_begins_again(upstreams, running) -> None:
    """SIGKILL, so that dima itself can do nothing; what was recorded by then stays, and is not recorded
    twice."""
    process, pids = running()
    folder = upstreams.folder("mappo-checkout")
    status = json.loads((folder / "status.json").read_text())
    assert status["state"] == "running"
    assert 0 < status["env_steps"] <= 600
    process.kill()
    process.wait()
    wait_until(lambda: not survivors(pids), 10)
    recorded = (folder / "events.jsonl").read_text()
    assert not (folder / "summary.json").exists()

    assert main(upstreams.arguments("mappo-checkout")) == 0
    assert returns(folder) == RETURNS
    assert (folder / "events.jsonl").read_text().startswith(recorded)
    assert "rewind" not in (folder / "events.jsonl").read_text()
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["attempts"], len(summary["provenance"])) == (1, 2)
    assert len(list((folder / "upstream/results").rglob("progress.txt"))) == 1


def test_where_it_does_not_repeat_itself_the_log_says_so(upstreams, running, monkeypatch) -> None:
    process, _ = running()
    process.kill()
    process.wait()
    monkeypatch.setenv("STAND_IN_SHIFT", "1000")
    assert main(upstreams.arguments("mappo-checkout")) == 0
    folder = upstreams.folder("mappo-checkout")
    assert returns(folder) == [(step, value + 1000) for step, value in RETURNS]
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [line["to"] for line in lines if isinstance(line, dict) and line["kind"] == "rewind"] == [
        1
    ]  # line 0: columns
    assert all(line["seq"] == number for number, line in enumerate(lines) if isinstance(line, dict))


def test_a_cell_waits_for_what_is_left_of_another_run(upstreams) -> None:
    """A guard holds this lock until it has buried everything, which takes longer than dima's own end."""
    folder = upstreams.folder("mappo-checkout")
    folder.mkdir(parents=True)
    with subprocess.Popen(
        ["flock", folder / "upstream.lock", "sh", "-c", f"touch {folder}/held; sleep 8; touch {folder}/ended"]
    ):
        wait_until((folder / "held").exists)
        assert main(upstreams.arguments("mappo-checkout")) == 0
    assert (folder / "upstream/output.log").stat().st_mtime >= (folder / "ended").stat().st_mtime


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_terminated_cell_says_so_and_takes_its_program_along(upstreams, running, number) -> None:
    process, pids = running()
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert survivors(pids) == []
    assert errors.strip().splitlines()[-1] == "dima: Interrupted; the same command begins again."
    status = json.loads((upstreams.folder("mappo-checkout") / "status.json").read_text())
    assert (status["state"], status["message"]) == (
        "interrupted",
        "stopped by a signal; the same command begins again",
    )


@pytest.fixture
def failed(upstreams, monkeypatch, capfd):
    """`failed(fault, method)`: exit status, what stands on stderr, and what the cell says of itself."""

    def fail(fault, method="mappo-checkout"):
        monkeypatch.setenv("STAND_IN", fault)
        code = main(upstreams.arguments(method))
        folder = upstreams.folder(method)
        assert not (folder / "summary.json").exists()
        return code, capfd.readouterr().err.splitlines(), json.loads((folder / "status.json").read_text())

    return fail


def test_a_program_that_fails_has_the_last_word(upstreams, failed, monkeypatch) -> None:
    """Its last ten lines, then one sentence; what it had recorded stays, and the same command begins
    again."""
    code, errors, status = failed("crash")
    assert code == 5
    folder = upstreams.folder("mappo-checkout")
    output = folder.relative_to(upstreams.workplace) / "upstream/output.log"
    sentence = (
        f"HARL's own program ended with status 1; its output is in {output}; the same command begins again."
    )
    assert errors == [
        *(f"line {line}" for line in range(11, 20)),
        "mujoco_py.builder.MujocoException: Got MuJoCo Warning",
        f"dima: {sentence}",
    ]
    assert (status["state"], status["message"], status["env_steps"]) == ("failed", sentence, 200)
    assert len(read_events(folder / "events.jsonl")) == 2
    monkeypatch.delenv("STAND_IN")
    assert main(upstreams.arguments("mappo-checkout")) == 0
    assert returns(folder) == RETURNS


@pytest.mark.parametrize("fault", ["short", "torn"])
def test_a_program_that_ends_before_the_budget_has_failed(failed, fault) -> None:
    """Also where the last row lacks its end: it may be a part of a number."""
    code, errors, status = failed(fault)
    assert (code, status["state"]) == (5, "failed")
    steps = 200 if fault == "short" else "1,200"
    assert errors[-1].startswith(
        f"dima: HARL's own program ended after {steps} of 1,250 environment steps; its output is in "
    )


def test_a_return_that_is_no_number_has_diverged(upstreams, failed) -> None:
    code, errors, status = failed("nan")
    assert (code, errors) == (3, ["dima: an evaluation return at 300 environment steps is not finite"])
    assert (status["state"], status["latest_return"]) == ("diverged", None)
    assert returns(upstreams.folder("mappo-checkout")) == [(300, None)]


def test_a_row_that_harl_does_not_write_is_named(failed) -> None:
    code, errors, status = failed("nonsense")
    assert (code, status["state"], len(errors)) == (5, "failed", 1)
    assert errors[0].startswith(
        "dima: line 1 of results/small/cells/halfcheetah-2x3/mappo-checkout/seed-2/upstream/results/mamujoco/"
    )
    assert errors[0].endswith(
        "progress.txt is 'no row', not what HARL writes of an evaluation; the same command begins again."
    )


def test_a_pickle_of_commands_is_not_obeyed(upstreams, failed, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("STAND_IN_PROOF", str(tmp_path / "proof"))
    code, errors, status = failed("hostile", "marie-checkout")
    assert (code, status["state"], len(errors)) == (5, "failed", 1)
    assert "is no pickle of plain values: it names posix.system; the same command begins again." in errors[0]
    assert not (tmp_path / "proof").exists()
    assert read_events(upstreams.folder("marie-checkout") / "events.jsonl") == []


GUARD = [sys.executable, "-I", guard.__file__]


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_the_guard_ends_as_the_command_does(script, status) -> None:
    with subprocess.Popen([*GUARD, "sh", "-c", script], stdin=subprocess.PIPE) as process:
        assert process.wait(30) == status


@pytest.mark.parametrize("ending", ["the command ends", "the starter ends"])
def test_the_guard_leaves_nothing_behind(tmp_path, ending) -> None:
    """Neither a daemon in a session of its own, nor what it started, nor a process that heeds no signal but
    SIGKILL."""
    deaf = "trap '' TERM INT HUP; sleep 600 & echo $! >> {pids}; echo $$ >> {pids}; touch {ready}; wait"
    script = deaf.format(pids=tmp_path / "pids", ready=tmp_path / "ready")
    daemon = (
        f"setsid sh -c {shlex.quote(script)} & while [ ! -e {tmp_path / 'ready'} ]; do sleep 0.05; done; "
    )
    command = daemon + ("exit 4" if ending == "the command ends" else "sleep 600")
    with subprocess.Popen([*GUARD, "sh", "-c", command], stdin=subprocess.PIPE) as process:
        wait_until((tmp_path / "ready").exists)
        if ending == "the starter ends":
            process.stdin.close()
        assert process.wait(30) == (4 if ending == "the command ends" else 1)
    assert len((tmp_path / "pids").read_text().split()) == 2
    assert survivors(tmp_path / "pids") == []


def test_the_command_dies_with_its_guard(tmp_path) -> None:
    pids = tmp_path / "pids"
    with subprocess.Popen(
        [*GUARD, "sh", "-c", f"echo $$ > {pids}; exec sleep 600"], stdin=subprocess.PIPE
    ) as process:
        wait_until(lambda: pids.exists() and pids.read_text() != "")
        assert len(survivors(pids)) == 1
        process.kill()
        wait_until(lambda: not survivors(pids), 10)
