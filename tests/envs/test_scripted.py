"""The controllers do what a watcher came to see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import envs
from envs import scripted
from envs.push_mass import COUPLED, force
from envs.scripted import scripted_controller

TASKS = sorted(task for task, entry in envs.TASKS.items() if entry.controller)


def mean_return(task: str, worlds: int, controlled: bool) -> float:
    """Over the first 200 steps of some worlds' first episodes, under the controller or under uniform
    actions."""
    env = envs.make(task, worlds)
    act = scripted_controller(env.spec)
    random = np.random.default_rng(0)
    _, state = env.reset()
    returns, lengths, running = (
        np.zeros(worlds),
        np.zeros(worlds, dtype=np.int64),
        np.ones(worlds, dtype=np.bool_),
    )
    for _ in range(min(200, env.spec.episode_limit)):
        uniform = random.uniform(-1, 1, (worlds, env.spec.n_agents, env.spec.act_dim)).astype(np.float32)
        result = env.step(act(state, lengths) if controlled else uniform)
        returns[running] = result.info["episode_return"][running]
        running &= ~(result.terminated | result.truncated)
        state, lengths = (
            result.state,
            np.where(result.terminated | result.truncated, 0, result.info["episode_length"]),
        )
    env.close()
    return returns.mean()


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize("task", TASKS)
def test_a_controller_beats_uniform_actions(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo appends its warnings to a file in the working folder
    worlds = 200 if envs.TASKS[task].suite == "toy" else 2
    assert mean_return(task, worlds, controlled=True) > mean_return(task, worlds, controlled=False) + 40


def test_push_by_hand() -> None:
    # 8 (0.1 + 0.05) - 6 * 0.2 = 0; 8 * 0.2 - 6 * 0.1 = 1, and 3.2 is clipped to 1
    state = np.array([[0.0, -0.1, 0.2, 0.1, 0.15, 0.1], [0.5, 0.0, 0.0, 0.0, 0.9, 0.05]])
    assert_allclose(
        scripted.push_to_goal(state, np.zeros(2, dtype=np.int64))[:, :, 0],
        [[0, 1], [1, 0.4]],
        rtol=0,
        atol=1e-6,
    )


def test_push_together_by_hand() -> None:
    # 8 (0.1, 0.05) - 6 (0.05, 0.08) = (0.5, -0.08): the force itself, from both agents
    state = np.array([[0.0, 0.0, 0.05, 0.08, 0.1, 0.05]])
    actions = scripted.push_to_goal_together(state, np.zeros(1, dtype=np.int64))
    assert_allclose(
        actions[0, :, 0], np.array([2 * 0.5 + 0.08, -2 * 0.08 - 0.5]) * np.sqrt(5) / 3, rtol=0, atol=1e-7
    )
    assert_allclose(force(actions, COUPLED), [[0.5, -0.08]], rtol=0, atol=1e-7)
    assert_array_equal(
        scripted.push_to_goal_together(10 * state, np.zeros(1, dtype=np.int64))[0, :, 0], [1, -1]
    )


def test_gait_by_hand() -> None:
    spec = replace(envs.make("push-mass").spec, n_agents=2, act_dim=1)
    gait = scripted.Gait(
        step_seconds=0.1, frequency=2.5, middle=(0.1, 0.0), amplitude=(0.5, 3.0), phase=(0.0, 0.25)
    )
    # a quarter of a cycle a step: sines of 0, 1, 0, -1 and, a quarter ahead, of 1, 0, -1, 0; the second is
    # clipped
    actions = gait.controller(spec)(np.zeros((4, 6)), np.arange(4))
    assert_allclose(actions[:, :, 0], [[0.1, 1], [0.6, 0], [0.1, -1], [-0.4, 0]], rtol=0, atol=1e-6)


def test_agents_share_a_gaits_actuators_in_order() -> None:
    spec = envs.make("push-mass").spec
    joint = []
    for n_agents in (1, 2, 3, 6):
        act = scripted.HALF_CHEETAH.controller(replace(spec, n_agents=n_agents, act_dim=6 // n_agents))
        joint.append(act(np.zeros((3, 17)), np.array([0, 5, 9])).reshape(3, 6))
        assert_array_equal(joint[-1], joint[0])


def test_what_has_no_controller_is_refused() -> None:
    spec = envs.make("push-mass").spec
    with pytest.raises(
        envs.EnvironmentsError,
        match="no scripted controller for juggling: choose one of ant-2x4, .*, walker2d-3x2",
    ):
        scripted_controller(replace(spec, task="juggling"))
    with pytest.raises(
        envs.EnvironmentsError, match="for ant-2x4 is written for preset paper, not gymnasium-robotics"
    ):
        scripted_controller(replace(spec, task="ant-2x4", preset="gymnasium-robotics"))
    with pytest.raises(
        envs.EnvironmentsError, match="for pen is written for preset v0 and v1 and paper, not v12"
    ):
        scripted_controller(replace(spec, task="pen", preset="v12"))
