"""Our HARL cells against HARL alone at toy size: both do the same work; ratios and shares by hand."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("harl")
pytest.importorskip("gymnasium_robotics")

from harl.envs.env_wrappers import ShareDummyVecEnv

import envs
from benchmarks import harl as command
from benchmarks.environments import clock_of
from benchmarks.harl import Seconds, Side, cell, compare_cell, our_side, summary, their_side
from benchmarks.harl_alone import KINDS, VECTORS, HarlAlone
from benchmarks.timing import Stopwatch
from dima.baselines.harl_environment import HarlWorlds
from dima.baselines.harl_on_policy import HarlOnPolicyLearner
from dima.config import CellConfig

SMALL = {
    "rollout_threads": 2,
    "episode_length": 60,
    "hidden_sizes": (16, 8),
    "ppo_epochs": 2,
    "critic_epochs": 3,
}
UPDATES = 2

Sides = tuple[HarlOnPolicyLearner, HarlAlone]


def small_cell(task: str, **changes: object) -> CellConfig:
    found = cell(task)
    return found.model_copy(update={"parameters": found.parameters.model_copy(update=SMALL | changes)})


@pytest.fixture
def make_sides() -> Iterator[Callable[[CellConfig, str], Sides]]:
    """`make_sides(cell, vector)`; closed after the test."""
    with ExitStack() as stack:

        def make(config: CellConfig, vector: str) -> Sides:
            harl = stack.enter_context(closing(HarlAlone(config, vector)))
            return stack.enter_context(closing(HarlOnPolicyLearner(config, torch.device("cpu")))), harl

        yield make


def weights(mappo: object) -> dict[str, torch.Tensor]:
    return {
        f"{network}.{name}": tensor
        for network, module in (("actor", mappo.actor[0].actor), ("critic", mappo.critic.critic))
        for name, tensor in module.state_dict().items()
    }


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize(("task", "tolerance"), [("push-mass", 0.0), ("halfcheetah-2x3", 1e-4)])
def test_both_sides_do_the_same_work(
    make_sides: Callable[[CellConfig, str], Sides], task: str, tolerance: float, vector: str
) -> None:
    """Episodes of push-mass end in the rollout, and its numbers are the same bit for bit; a robot's
    observations are to rounding."""
    learner, harl = make_sides(small_cell(task), vector)
    ours, theirs = our_side(learner), their_side(harl)
    for _ in range(UPDATES):
        ours.update()
        theirs.update()
    assert ours.stepping.calls == theirs.stepping.calls == UPDATES * SMALL["episode_length"]
    assert len(theirs.workers) == (SMALL["rollout_threads"] if vector == "a process a world" else 0)
    for optimizers in [
        (mappo.actor[0].actor_optimizer, mappo.critic.critic_optimizer) for mappo in (learner._runner, harl)
    ]:
        steps = [{int(moments["step"]) for moments in optimizer.state.values()} for optimizer in optimizers]
        assert steps == [{UPDATES * SMALL["ppo_epochs"]}, {UPDATES * SMALL["critic_epochs"]}]
    found, expected = weights(learner._runner), weights(harl)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_allclose(found[name], tensor, rtol=0, atol=tolerance, err_msg=name)
    np.testing.assert_allclose(
        learner._runner.critic_buffer.rewards, harl.critic_buffer.rewards, rtol=0, atol=10 * tolerance
    )


@pytest.mark.parametrize("task", ["push-mass", "ant-4x2", "halfcheetah-2x3"])
def test_a_single_world_is_ours(task: str) -> None:
    """1,010 steps of the same actions: observations, states, rewards, ends, time limits."""
    ours = HarlWorlds(envs.make(task, 1, seed=1))
    spec = ours.environment.spec
    theirs = ShareDummyVecEnv([lambda: KINDS[spec.suite](spec, 1000)])
    for found, expected in zip(ours.reset()[:2], theirs.reset()[:2], strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    random, ends = np.random.default_rng(0), set()
    for _ in range(1010):
        actions = random.uniform(-1, 1, (1, spec.n_agents, spec.act_dim)).astype(np.float32)
        found, expected = ours.step(actions), theirs.step(actions)
        for name, value in zip(("obs", "share_obs", "rewards", "dones"), expected, strict=False):
            np.testing.assert_allclose(getattr(found, name), value, rtol=0, atol=1e-5, err_msg=name)
        limits = [infos[0][0].get("bad_transition") for infos in (found.infos, expected[4])]
        assert limits[0] == limits[1]
        ends.add(limits[0])
    assert ends == ({None, False} if task == "ant-4x2" else {None, True})
    ours.environment.close()
    theirs.close()


def test_both_sides_have_the_parameters_of_the_cell(make_sides: Callable[[CellConfig, str], Sides]) -> None:
    learner, harl = make_sides(cell("ant-4x2"), "one process")
    sizes = [
        {name: tensor.shape for name, tensor in weights(mappo).items()} for mappo in (learner._runner, harl)
    ]
    assert sizes[0] == sizes[1]
    assert sum(shape.numel() for shape in sizes[0].values()) > 80_000
    assert harl.critic_buffer.share_obs.shape == learner._runner.critic_buffer.share_obs.shape


def test_ratios_and_shares_are_taken_pair_by_pair() -> None:
    ours = [Seconds(1.0, 2.0, 0.5), Seconds(2.0, 4.0, 3.0), Seconds(1.0, 1.0, 0.5)]
    theirs = [Seconds(3.0, 1.0, 0.1), Seconds(1.0, 2.0, 1.0), Seconds(2.0, 2.0, 1.9)]
    found = summary(list(zip(ours, theirs, strict=True)))
    assert found["cpu_ratio"] == {"median": 2.0, "min": 0.5, "max": 3.0}
    assert found["wall_ratio"] == {"median": 0.5, "min": 0.5, "max": 2.0}
    assert found["stepping_share"] == {"median": 0.5, "min": 0.25, "max": 0.75}
    assert found["stepping_share_of_harl"] == {"median": 0.5, "min": 0.1, "max": 0.95}
    assert (found["cpu_met"], found["wall_met"], found["stepping_met"]) == (True, False, False)
    assert found["our_seconds"]["stepping"] == {"median": 0.5, "min": 0.5, "max": 3.0}


@pytest.mark.parametrize("vector", VECTORS)
def test_one_cell(vector: str) -> None:
    row = compare_cell(small_cell("halfcheetah-2x3"), vector, pairs=2)
    assert (row["task"], row["vector"], row["worlds"], row["steps"], row["pairs"]) == (
        "halfcheetah-2x3",
        vector,
        2,
        120,
        2,
    )
    for side in ("stepping_share", "stepping_share_of_harl"):
        assert 0 < row[side]["min"] <= row[side]["median"] <= row[side]["max"] < 1
    for ratio in ("cpu_ratio", "wall_ratio"):
        assert 0 < row[ratio]["min"] <= row[ratio]["median"] <= row[ratio]["max"]


def test_the_workers_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: 2 s of this process and 3 and 4 s of two workers, while 5 s pass."""
    clocks = {clock_of(1): iter([10.0, 13.0]), clock_of(2): iter([20.0, 24.0])}
    own, wall = iter([1.0, 3.0]), iter([0.0, 5.0])
    clock = SimpleNamespace(
        process_time=lambda: next(own),
        perf_counter=lambda: next(wall),
        clock_gettime=lambda number: next(clocks[number]),
    )
    monkeypatch.setattr(command, "time", clock)
    assert Side(lambda: None, Stopwatch(lambda: None), (1, 2)).measure() == Seconds(2.0 + 3.0 + 4.0, 5.0, 0.0)


def test_the_clock_of_a_process_is_its_cpu_time() -> None:
    before, found, after = time.process_time(), time.clock_gettime(clock_of(os.getpid())), time.process_time()
    assert before <= found <= after


def test_it_writes_a_row_for_every_vector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "cell", small_cell)
    command.main(["--tasks", "push-mass", "--pairs", "2", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    origin = {"commit", "dirty", "hardware", "python", "versions", "processors"}
    assert found.keys() == origin | {"minutes", "load_before_and_after", "rows"}
    assert [(row["task"], row["vector"]) for row in found["rows"]] == [
        ("push-mass", vector) for vector in VECTORS
    ]
    printed = capsys.readouterr().out
    assert "start running" not in printed
    assert all(f"\n{vector} | push-mass | " in printed for vector in VECTORS)
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]
