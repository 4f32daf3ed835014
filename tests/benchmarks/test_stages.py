"""The hook of native learners that benchmarks time: which stages it sees, and that it changes nothing."""

from __future__ import annotations

from contextlib import closing

import pytest
import torch

from benchmarks.method_cells import learning_at_once, method_cell
from benchmarks.stages import learning, watched
from dima.cell.methods import build_learner
from dima.learning.native_learner import NativeLearner

CPU = torch.device("cpu")


def native(method: str) -> NativeLearner:
    learner = build_learner(learning_at_once(method_cell(method, "toy")), CPU)
    assert isinstance(learner, NativeLearner)
    return learner


@pytest.mark.parametrize(
    ("method", "stages"), [("dima", ["collect", "world_model", "policy"]), ("mamba", ["collect"])]
)
def test_stages_are_seen_in_their_order_and_only_meanwhile(method: str, stages: list[str]) -> None:
    seen: list[str] = []
    with closing(native(method)) as alone:
        expected = [alone.run_epoch(), alone.run_epoch()]
    with closing(native(method)) as learner:
        with watched(learner, lambda stage, work: (seen.append(stage), work())[1]):
            scalars = learner.run_epoch()
        assert [scalars, learner.run_epoch()] == expected
    assert seen == stages


def test_an_epoch_can_learn_without_new_steps() -> None:
    with closing(native("dima")) as learner:
        with watched(learner, learning(learner.collect())):
            before = learner.env_steps
            learner.run_epoch()
            assert learner.env_steps == before
        learner.run_epoch()
        assert learner.env_steps > before


def test_every_reported_part_can_be_updated_alone() -> None:
    with closing(native("dima")) as learner:
        learner.collect()
        for part, numbers in learner.REPORTED.items():
            assert learner.update(part).shape == (len(numbers),)
            assert not learner.is_recorded(part)
