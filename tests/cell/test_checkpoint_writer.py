"""Checkpoints written while training goes on: what was asked for is what is written, and nothing that goes
wrong is lost."""

from __future__ import annotations

import threading

import pytest
import torch

from dima.cell import checkpoint_writer
from dima.cell.checkpoint import load_checkpoint
from dima.cell.checkpoint_writer import CheckpointWriter

SECONDS = 30


@pytest.fixture
def gate(monkeypatch):
    """Holds every checkpoint back until it is set."""
    open_gate, write = threading.Event(), checkpoint_writer.write_checkpoint

    def held_back(*arguments):
        assert open_gate.wait(SECONDS)
        write(*arguments)

    monkeypatch.setattr(checkpoint_writer, "write_checkpoint", held_back)
    return open_gate


def test_training_goes_on_meanwhile_and_changes_nothing_of_what_is_written(tmp_path, gate):
    weight, history = torch.ones(3), {"starts": [1]}
    done = []
    with CheckpointWriter(
        tmp_path, lambda: done.append(sorted(path.name for path in tmp_path.iterdir()))
    ) as writer:
        writer.write(100, {"weight": weight, "history": history})
        weight.zero_()
        history["starts"].append(2)
        writer.refuse_if_failed()
        assert (list(tmp_path.iterdir()), done) == ([], [])
        gate.set()
        writer.wait()
        assert done == [["000000000100"]]
    state, _ = load_checkpoint(tmp_path)
    assert (state["weight"].tolist(), state["history"]) == ([1.0] * 3, {"starts": [1]})


def test_the_next_one_waits_for_the_last(tmp_path, gate):
    with CheckpointWriter(tmp_path, lambda: None) as writer:
        writer.write(100, {"number": 100})
        threading.Timer(0.2, gate.set).start()
        writer.write(200, {"number": 200})
        assert load_checkpoint(tmp_path)[0]["number"] in (100, 200)
    assert load_checkpoint(tmp_path)[0] == {"number": 200}


@pytest.mark.parametrize("when", ["in the next epoch", "with the next one", "at the end"])
def test_one_that_could_not_be_written_is_told_once(tmp_path, monkeypatch, when):
    def full(*_):
        raise OSError(28, "The checkpoint could not be written: No space left on device")

    def run():
        with CheckpointWriter(tmp_path, lambda: None) as writer:
            writer.write(100, {})
            if when == "with the next one":
                writer.write(200, {})
            while when == "in the next epoch":
                writer.refuse_if_failed()

    monkeypatch.setattr(checkpoint_writer, "write_checkpoint", full)
    with pytest.raises(OSError, match="No space left") as caught:
        run()
    assert caught.value.errno == 28


def test_whatever_ends_the_run_the_checkpoint_is_finished_first_and_hides_nothing(tmp_path, gate):
    def interrupted():
        with CheckpointWriter(tmp_path, lambda: 1 / 0) as writer:
            writer.write(100, {"number": 100})
            raise KeyboardInterrupt

    threading.Timer(0.2, gate.set).start()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert load_checkpoint(tmp_path)[0] == {"number": 100}


def test_what_a_checkpoint_cannot_hold_is_refused_at_once(tmp_path):
    with CheckpointWriter(tmp_path, lambda: None) as writer, pytest.raises(TypeError, match="/a is a set"):
        writer.write(1, {"a": {1}})
