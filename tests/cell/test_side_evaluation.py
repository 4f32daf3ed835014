"""Evaluation in a process of its own: the same numbers, in the same order, and no process is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest
import torch
from evaluation import evaluate

import dima.cell.run
from dima.cell.checkpoint_writer import CheckpointWriter
from dima.cell.run import Execution, run_cell
from dima.cell.side_evaluation import Evaluations
from dima.errors import CrashedError
from dima.learning.dima_learner import DimaLearner
from dima.record.events import VARYING, read_events
from dima.record.files import read_json
from envs import NonFiniteError

CPU = torch.device("cpu")


class Constant:
    def __init__(self, value):
        self.value = value

    def __call__(self, observations):
        return np.full((*observations.shape[:2], 1), self.value, dtype=np.float32)


class Slow(Constant):
    def __call__(self, observations):
        time.sleep(60)
        return super().__call__(observations)


def test_the_results_are_those_of_an_evaluation_in_turn(tiny_cell):
    """Of the policy as it was when the evaluation began, whatever training does meanwhile."""
    learner = DimaLearner(tiny_cell, CPU)
    expected = evaluate(learner.act, tiny_cell.task, 1, 200)
    with closing(Evaluations(tiny_cell.task, 1, parallel=True)) as evaluations:
        evaluations.start(learner.frozen_policy(), 200, 210)
        with torch.no_grad():
            learner._acting_actor.mean.weight.fill_(1.0)
        assert evaluations.pending
        assert evaluations.take() == (200, 210, expected)
        assert not evaluations.pending
    assert evaluate(learner.act, tiny_cell.task, 1, 200) != expected


def test_what_goes_wrong_beside_is_raised_in_training(tiny_cell):
    with closing(Evaluations(tiny_cell.task, 1, parallel=True)) as evaluations:
        evaluations.start(Constant(float("nan")), 0, 0)
        with pytest.raises(NonFiniteError, match="finite") as caught:
            evaluations.take()
    assert (caught.value.worlds, caught.value.step) == ((0, 1), 1)


def test_a_dead_process_is_named(tiny_cell):
    with closing(Evaluations(tiny_cell.task, 1, parallel=True)) as evaluations:
        evaluations.start(Slow(0.0), 0, 0)
        os.kill(evaluations._process.pid, signal.SIGKILL)
        with pytest.raises(CrashedError, match="evaluates during training died"):
            evaluations.take()


def test_closing_does_not_wait_for_an_evaluation(tiny_cell):
    evaluations = Evaluations(tiny_cell.task, 1, parallel=True)
    evaluations.start(Slow(0.0), 0, 0)
    started = time.monotonic()
    evaluations.close()
    assert time.monotonic() - started < 30
    assert not evaluations._process.is_alive()


ORPHAN = """
import os, sys, time
from dima.cell.side_evaluation import Evaluations
from dima.config.grid import CellKey, load_grid

if __name__ == "__main__":
    task = load_grid("quick").resolve(CellKey("push-mass", "dima", 1)).task
    evaluations = Evaluations(task, 1, parallel=True)
    print(evaluations._process.pid, flush=True)
    time.sleep(100)
"""


def test_it_ends_when_training_is_killed(workplace):
    (workplace / "orphan.py").write_text(ORPHAN)
    parent = subprocess.Popen([sys.executable, "orphan.py"], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 120
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _runs(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.remembered
def test_a_cell_logs_the_same_either_way(tiny_cell, tmp_path, monkeypatch):
    """Another order within the log, since a result is recorded an epoch later; a killed and continued run
    repeats that order."""
    run_cell(tiny_cell, tmp_path / "in_turn", Execution(CPU))
    monkeypatch.setattr(dima.cell.run, "_evaluates_in_parallel", lambda config, device: True)
    run_cell(tiny_cell, tmp_path / "parallel", Execution(CPU))

    class KilledError(BaseException):
        pass

    epochs = DimaLearner.run_epoch

    def killed_in_the_third(learner):
        if learner.epoch == 2:
            raise KilledError
        return epochs(learner)

    monkeypatch.setattr(DimaLearner, "run_epoch", killed_in_the_third)
    with pytest.raises(KilledError):
        run_cell(tiny_cell, tmp_path / "continued", Execution(CPU, checkpoint_seconds=0))
    monkeypatch.setattr(DimaLearner, "run_epoch", epochs)
    run_cell(tiny_cell, tmp_path / "continued", Execution(CPU, checkpoint_seconds=0))

    logs = {
        name: read_events(tmp_path / name / "events.jsonl") for name in ("in_turn", "parallel", "continued")
    }
    bare = {
        name: [{key: value for key, value in event.items() if key not in VARYING} for event in log]
        for name, log in logs.items()
    }
    assert bare["parallel"] == bare["continued"]
    assert bare["parallel"] != bare["in_turn"]
    assert sorted(map(repr, bare["parallel"])) == sorted(map(repr, bare["in_turn"]))
    finals = [read_json(tmp_path / name / "summary.json")["final"] for name in logs]
    assert finals[0] == finals[1] == finals[2]


@pytest.mark.slow
@pytest.mark.remembered
def test_a_cell_that_is_evaluated_after_every_epoch_is_saved_after_every_epoch(
    tiny_cell, tmp_path, monkeypatch
):
    """No checkpoint waits for an evaluation that never ends before the next begins."""
    monkeypatch.setattr(dima.cell.run, "_evaluates_in_parallel", lambda config, device: True)
    saved = []
    write = CheckpointWriter.write
    monkeypatch.setattr(
        CheckpointWriter,
        "write",
        lambda writer, number, state: (saved.append(number), write(writer, number, state)),
    )
    often = tiny_cell.task.evaluation.model_copy(update={"every": 100})
    config = tiny_cell.model_copy(update={"task": tiny_cell.task.model_copy(update={"evaluation": often})})
    run_cell(config, tmp_path, Execution(CPU, checkpoint_seconds=0))
    assert saved == [100, 200, 300, 400]
    events = read_events(tmp_path / "events.jsonl")
    assert [event["grid_step"] for event in events if event["kind"] == "evaluation"] == [
        0,
        0,
        100,
        100,
        200,
        200,
        300,
        300,
        400,
        400,
    ]
