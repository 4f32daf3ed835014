"""The scripts reach success in each of the four tasks, also where their actions are disturbed: the tasks can
be solved."""

from __future__ import annotations

import numpy as np
import pytest

import envs
from envs.scripted import scripted_controller

RETURNS = {"bottle-cap": 180, "door-open-inward": 600, "door-open-outward": 550, "pen": 110}  # at least
RUNS = [(task, "v1", noise) for task in RETURNS for noise in (0.0, 0.05)]
RUNS += [(task, "v0", 0.0) for task in RETURNS if task != "bottle-cap"]  # which starts alike in both versions


def play(task: str, preset: str, noise: float = 0.0) -> tuple[float, bool, int]:
    """One episode: its return, its success and its length."""
    env = envs.make(task, preset=preset)
    act, random = scripted_controller(env.spec), np.random.default_rng(0)
    _, state = env.reset()
    for step in range(env.spec.episode_limit):
        actions = act(state, np.array([step]))
        disturbed = (actions + noise * random.standard_normal(actions.shape)).astype(np.float32)
        result = env.step(disturbed)
        state = result.state
        if result.terminated[0] or result.truncated[0]:
            break
    return (
        float(result.info["episode_return"][0]),
        bool(result.info["success"][0]),
        int(result.info["episode_length"][0]),
    )


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize(("task", "preset", "noise"), RUNS)
def test_a_script_solves_the_task_and_never_fails_it(task: str, preset: str, noise: float) -> None:
    total, success, length = play(task, preset, noise)
    assert success
    assert length == envs.make(task).spec.episode_limit
    assert total > RETURNS[task]


@pytest.mark.parametrize("task", RETURNS)
def test_doing_nothing_solves_none(task: str) -> None:
    env = envs.make(task)
    env.reset()
    for _ in range(env.spec.episode_limit):
        result = env.step(np.zeros((1, 2, 26), dtype=np.float32))
        assert not result.info["success"][0]
