"""A cell from the outside: finished, forced, changed, locked, diverged, killed. Real processes, killed for
real."""

from __future__ import annotations

import json
import os
import platform
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dima.cell.checkpoint import load_checkpoint
from dima.record.events import read_events

CELL = Path("results/tiny/cells/push-mass")


def command(method="dima", *options):
    arguments = [
        "--grid",
        "tiny",
        "--task",
        "push-mass",
        "--method",
        method,
        "--seed",
        "1",
        "--checkpoint-seconds",
        "0",
    ]
    return [sys.executable, "-m", "dima", "train", *arguments, *options]


def train(method="dima", *options):
    return subprocess.run(command(method, *options), capture_output=True, text=True, timeout=120)


@pytest.fixture
def outcome(fingerprint):
    """What a run amounts to: its events without the clock, its last state without the clock, its final
    returns."""
    return lambda method="dima": _outcome(method, fingerprint)


def _outcome(method, fingerprint):
    folder = CELL / method / "seed-1"
    events = [
        {name: value for name, value in event.items() if name != "wall_seconds"}
        for event in read_events(folder / "events.jsonl")
    ]
    state, _ = load_checkpoint(folder / "checkpoint")
    return events, fingerprint(state["learner"]), json.loads((folder / "summary.json").read_text())["final"]


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize("method", ["dima", "mappo"])
def test_a_run_killed_at_random_moments_equals_an_undisturbed_one(workplace, monkeypatch, method, outcome):
    result = train(method)
    assert result.returncode == 0, result.stderr
    undisturbed = outcome(method)
    other = workplace / "killed"
    other.mkdir()
    (other / "workflow").symlink_to(workplace / "workflow")
    monkeypatch.chdir(other)
    chance = random.Random(0)
    events = CELL / method / "seed-1" / "events.jsonl"
    kills = 0
    for lines in (1, 4, 7, 9):
        with subprocess.Popen(command(method), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            while process.poll() is None and (
                not events.exists() or len(events.read_bytes().splitlines()) < lines
            ):
                time.sleep(0.002)
            time.sleep(
                chance.uniform(0, 0.15)
            )  # also inside an epoch, an evaluation, or the writing of a checkpoint
            if process.poll() is None:
                process.kill()
                kills += 1
    assert kills >= 3
    assert train(method).returncode == 0
    assert outcome(method) == undisturbed
    assert len(json.loads((events.parent / "summary.json").read_text())["provenance"]) >= 2


@pytest.mark.slow
@pytest.mark.remembered
def test_a_finished_cell_does_nothing(workplace):
    train()
    before = {path: path.stat().st_mtime_ns for path in CELL.rglob("*")}
    result = train()
    assert result.returncode == 0
    assert "finished, nothing to do" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in CELL.rglob("*")} == before


@pytest.mark.slow
@pytest.mark.remembered
def test_a_finished_cell_without_its_summary_starts_a_new_attempt_and_keeps_the_old_log(workplace):
    train()
    folder = CELL / "dima/seed-1"
    old = (folder / "events.jsonl").read_text()
    final = json.loads((folder / "summary.json").read_text())["final"]
    (folder / "summary.json").unlink()
    (folder / "studies").mkdir()
    for shown in ("studies/frames.npz", "film.mp4"):
        (folder / shown).write_text("of the first attempt")
    assert train().returncode == 0
    assert (folder / "attempts/1/events.jsonl").read_text() == old
    for shown in ("studies/frames.npz", "film.mp4"):
        assert (folder / "attempts/1" / shown).read_text() == "of the first attempt"
        assert not (folder / shown).exists()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["attempts"] == 2
    assert summary["final"] == final
    assert sorted(path.name for path in (folder / "sacred").iterdir()) == ["1", "2"]


@pytest.mark.slow
@pytest.mark.remembered
def test_another_configuration_starts_a_new_attempt(workplace):
    train()
    grid = workplace / "workflow/config/tiny.yaml"
    grid.write_text(grid.read_text().replace("env_steps: 400", "env_steps: 500"))
    assert train().returncode == 0
    summary = json.loads((CELL / "dima/seed-1/summary.json").read_text())
    assert (summary["attempts"], summary["env_steps"]) == (2, 500)
    grid.write_text("# a comment\n" + grid.read_text())
    assert "finished, nothing to do" in train().stdout


def test_a_cell_that_is_being_run_is_not_run_twice(workplace):
    lock = CELL / "dima/seed-1/lock"
    lock.parent.mkdir(parents=True)
    with subprocess.Popen(["flock", str(lock), "sleep", "60"]) as holder:
        time.sleep(0.5)
        result = train()
        holder.kill()
    assert result.returncode == 75
    assert (
        result.stderr.strip()
        == "dima: results/tiny/cells/push-mass/dima/seed-1 is being run by another process; nothing was done."
    )
    assert not (CELL / "dima/seed-1/events.jsonl").exists()


def start_until_it_trains(*options):
    events = CELL / "dima/seed-1/events.jsonl"
    process = subprocess.Popen(command("dima", *options), stderr=subprocess.PIPE, text=True)
    while not events.exists() or "\n[" not in events.read_text():
        time.sleep(0.01)
    return process


@pytest.mark.slow
@pytest.mark.remembered
def test_a_cell_that_is_asked_to_stop_does_so_at_a_checkpoint(workplace, outcome, monkeypatch):
    with start_until_it_trains("--checkpoint-seconds", "1000000") as process:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 99
    folder = CELL / "dima/seed-1"
    (checkpoint,) = (folder / "checkpoint").iterdir()
    steps = int(checkpoint.name)
    assert (
        errors.strip().splitlines()[-1]
        == f"dima: Stopped at a checkpoint at {steps} environment steps; the same command continues."
    )
    assert json.loads((folder / "status.json").read_text())["state"] == "interrupted"
    assert not (folder / "summary.json").exists()
    result = train()
    assert result.returncode == 0
    assert f"continuing at {steps} of" in result.stdout
    (workplace / "undisturbed").mkdir()
    (workplace / "undisturbed/workflow").symlink_to(workplace / "workflow")
    continued = outcome()
    monkeypatch.chdir(workplace / "undisturbed")
    assert train().returncode == 0
    assert outcome() == continued


@pytest.mark.slow
@pytest.mark.remembered
def test_an_interrupted_cell_ends_at_once_and_continues(workplace):
    with start_until_it_trains() as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "dima: Interrupted; the same command continues."
    assert json.loads((CELL / "dima/seed-1/status.json").read_text())["state"] == "interrupted"
    assert train().returncode == 0


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize(
    ("then", "processes"), [(signal.SIGCONT, 1), (signal.SIGKILL, 2)], ids=["it ends", "it is killed"]
)
def test_who_waits_goes_on_when_the_other_process_does_not(workplace, then, processes):
    with start_until_it_trains() as first:
        first.send_signal(signal.SIGSTOP)
        with subprocess.Popen(command("dima", "--wait"), stdout=subprocess.PIPE, text=True) as second:
            waiting = second.stdout.readline().strip()
            first.send_signal(then)
            printed, _ = second.communicate(timeout=60)
    assert waiting.endswith(
        f"is being run by another process (process {first.pid} on {platform.node()}); waiting for it."
    )
    assert (first.returncode, second.returncode) == (-signal.SIGKILL if then == signal.SIGKILL else 0, 0)
    assert printed.strip().endswith("finished meanwhile, nothing to do.") == (processes == 1)
    assert len(json.loads((CELL / "dima/seed-1/provenance.json").read_text())["starts"]) == processes


def last_epoch(folder):
    return max(event["epoch"] for event in read_events(folder / "events.jsonl") if event["kind"] == "scalars")


def test_a_process_that_was_taken_for_dead_writes_nothing_more_of_the_cell(workplace):
    folder = CELL / "dima/seed-1"
    with start_until_it_trains() as process:
        process.send_signal(signal.SIGSTOP)
        (folder / "lock").write_text(
            json.dumps({"host": "another-machine", "process": 7, "job": None, "since": 0.0})
        )
        epoch = last_epoch(folder)
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 75
    assert errors.strip().endswith(
        "was taken over by another process while this one was suspended; it stops here."
    )
    assert last_epoch(folder) == epoch  # the next one was trained, and is not in the log
    assert (
        json.loads((folder / "status.json").read_text())["state"] == "running"
    )  # the other process's status


@pytest.mark.slow
@pytest.mark.remembered
def test_what_finished_after_the_workflow_was_started_is_not_trained_again(workplace):
    """A workflow plans a cell that another still trains, and removes its summary before its own job for the
    cell starts."""
    started = ["--finished-after", str(time.time())]
    assert train("dima", *started).returncode == 0
    summary = CELL / "dima/seed-1/summary.json"
    content = summary.read_text()
    summary.unlink()
    assert train("dima", *started).stdout.strip().endswith("finished meanwhile, nothing to do.")
    assert summary.read_text() == content
    summary.unlink()
    assert train("dima", "--finished-after", str(time.time())).returncode == 0  # forced
    assert json.loads(summary.read_text())["attempts"] == 2


def test_a_run_that_diverges_stops_with_its_own_status(workplace):
    """A learning rate at which everything overflows."""
    grid = workplace / "workflow/config/tiny.yaml"
    grid.write_text(
        grid.read_text().replace(
            "batch_size: 32\n", "batch_size: 32\n        optimizer: {learning_rate: 1.0e+38}\n", 1
        )
    )
    result = train()
    assert result.returncode == 3, result.stderr
    assert "is not finite in epoch" in result.stderr.strip().splitlines()[-1]
    folder = CELL / "dima/seed-1"
    assert json.loads((folder / "status.json").read_text())["state"] == "diverged"
    assert not (folder / "summary.json").exists()
    assert read_events(folder / "events.jsonl")[0]["kind"] == "evaluation"


CRASHING = """
import sys
from envs import EngineError
from envs.push_mass import PushMass
from dima.cli import main

advance, steps = PushMass._advance, []

def crash(self, actions):
    steps.append(len(actions))
    if steps.count(1) == 250:  # training steps one world, evaluations step several
        raise EngineError("the simulator of world 0 ended")
    return advance(self, actions)

PushMass._advance = crash
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.remembered
def test_a_crashed_simulator_has_its_own_status_and_loses_nothing(workplace, outcome):
    assert train().returncode == 0
    undisturbed = outcome()
    arguments = [*command()[3:], "--from-scratch"]
    result = subprocess.run(
        [sys.executable, "-c", CRASHING, *arguments], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 5, result.stderr
    assert (
        result.stderr.strip()
        == "dima: the simulator of world 0 ended; the same command continues from the last checkpoint."
    )
    folder = CELL / "dima/seed-1"
    assert json.loads((folder / "status.json").read_text())["state"] == "failed"
    assert train().returncode == 0
    assert outcome() == undisturbed


HICCUP = """
import sys
from envs.push_mass import PushMass
from dima.cli import main

build, built = PushMass.__init__, []

def fail_once(self, task, num_envs, seed, preset):
    built.append(num_envs)
    if len(built) == 2:  # the first world is that of training
        raise ValueError("Caught an unknown exception!")
    build(self, task, num_envs, seed, preset)

PushMass.__init__ = fail_once
status = main(sys.argv[1:])
print("built", built)
sys.exit(status)
"""


@pytest.mark.slow
@pytest.mark.remembered
def test_a_loader_that_fails_for_a_moment_costs_nothing_and_worlds_are_built_once(
    workplace, outcome, monkeypatch
):
    result = subprocess.run(
        [sys.executable, "-c", HICCUP, *command()[3:]], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-1] == "Caught an unknown exception!; trying again in 0.1 s."
    assert result.stdout.splitlines()[-1] == "built [1, 2, 2]"
    disturbed = outcome()
    (workplace / "undisturbed").mkdir()
    (workplace / "undisturbed/workflow").symlink_to(workplace / "workflow")
    monkeypatch.chdir(workplace / "undisturbed")
    assert train().returncode == 0
    assert outcome() == disturbed


@pytest.mark.slow
@pytest.mark.remembered
def test_the_status_of_a_failed_cell_is_the_reason(workplace):
    failing = CRASHING.replace(
        'EngineError("the simulator of world 0 ended")', 'ValueError("Caught an\\nunknown exception!")'
    )
    result = subprocess.run(
        [sys.executable, "-c", failing, *command()[3:]], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 1
    status = json.loads((CELL / "dima/seed-1/status.json").read_text())
    assert (status["state"], status["message"]) == ("failed", "Caught an unknown exception! (ValueError)")


@pytest.mark.slow
@pytest.mark.remembered
def test_a_full_disk_is_one_sentence_and_loses_nothing(workplace):
    """No file may grow beyond 20 kB, as on a disk that is full when the first checkpoint is written."""
    limited = ["bash", "-c", 'trap "" XFSZ; ulimit -f 20; exec "$@"', "bash", *command()]
    result = subprocess.run(limited, capture_output=True, text=True, timeout=120)
    folder = CELL / "dima/seed-1"
    assert result.returncode == 4, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1
    assert "could not be written" in result.stderr
    assert "File too large" in result.stderr
    assert not (folder / "summary.json").exists()
    recorded = read_events(folder / "events.jsonl")
    assert recorded
    assert train().returncode == 0
    assert read_events(folder / "events.jsonl")[: len(recorded)] == recorded


@pytest.mark.slow
@pytest.mark.remembered
def test_damaged_checkpoints_are_passed_over_or_refused(workplace, outcome):
    train()
    undisturbed = outcome()
    folder = CELL / "dima/seed-1"
    (folder / "summary.json").unlink()
    history = json.loads((folder / "provenance.json").read_text())
    (folder / "provenance.json").write_text(
        json.dumps({**history, "finished": False})
    )  # as if killed before the end
    newest, older = sorted((folder / "checkpoint").iterdir(), reverse=True)
    (newest / "content.json").write_text("{")
    result = train()
    assert result.returncode == 0
    assert f"{newest.name} is damaged and was passed over" in result.stdout
    assert outcome() == undisturbed
    (folder / "summary.json").unlink()
    (folder / "provenance.json").write_text(json.dumps({**history, "finished": False}))
    for path in (folder / "checkpoint").iterdir():
        (path / "content.json").write_text("{")
    refused = train()
    assert refused.returncode == 2
    assert "No sound checkpoint is left" in refused.stderr
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], "No sound checkpoint" in status["message"]) == ("failed", True)
    assert train("dima", "--from-scratch").returncode == 0
    assert outcome() == undisturbed


@pytest.mark.slow
@pytest.mark.remembered
def test_sacred_keeps_configuration_and_scalars(workplace):
    train()
    folder = CELL / "dima/seed-1/sacred/1"
    assert json.loads((folder / "run.json").read_text())["status"] == "COMPLETED"
    assert json.loads((folder / "config.json").read_text())["parameters"]["denoiser"]["channels"] == [32, 32]
    metrics = json.loads((folder / "metrics.json").read_text())
    ours = [
        event for event in read_events(CELL / "dima/seed-1/events.jsonl") if event.get("group") == "denoiser"
    ]
    assert metrics["denoiser.loss"]["values"] == [event["values"]["loss"] for event in ours]
    assert metrics["denoiser.loss"]["steps"] == [event["env_steps"] for event in ours]
    assert metrics["evaluation.return"]["steps"] == [0, 200, 400]


def test_results_may_be_anywhere_and_of_any_name(workplace):
    result = train("mappo", "--results", "a folder of ünusual name")
    assert result.returncode == 0, result.stderr
    assert (workplace / "a folder of ünusual name/tiny/cells/push-mass/mappo/seed-1/summary.json").exists()


@pytest.mark.slow
@pytest.mark.remembered
def test_provenance_names_where_it_ran(workplace):
    train("mappo")
    (provenance,) = json.loads((CELL / "mappo/seed-1/summary.json").read_text())["provenance"]
    assert provenance["image"] == "none"
    assert provenance["device"] == "cpu"
    assert provenance["versions"]["torch"].startswith("2.")
    assert f"{os.cpu_count()} cores" in provenance["hardware"]
    assert len(provenance["lock"]) == 64
