"""Worlds for evaluation: built once, the same numbers as new ones, and built again after a fault."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
from evaluation import evaluate

import envs
import envs.retry
from dima.config import EvaluationConfig, TaskConfig
from dima.experience.evaluate import EvaluationWorlds
from envs.isaac_bridge.client import IsaacGymEnvironment
from envs.push_mass import PushMass

TASKS = {
    "push-mass": ("toy", "paper", "numpy", 2),
    "walker2d-3x2": ("mamujoco", "gymnasium-robotics", "mujoco", 3),
    "pen": ("bidexhands", "paper", "mujoco", 2),
}


def task_of(name: str) -> TaskConfig:
    suite, preset, simulator, agents = TASKS[name]
    evaluation = EvaluationConfig(every=100, episodes=2)
    facts = {"suite": suite, "preset": preset, "simulator": simulator, "agents": agents}
    return TaskConfig(
        name=name, label=name, env_steps=1000, evaluation=evaluation, comparable_with_paper=False, **facts
    )


def policy_of(task: TaskConfig, gain: float = 3.0):
    """Moves, and does something else in every state."""
    act_dim = envs.make(task.name, preset=task.preset).spec.act_dim
    return lambda observations: np.sin(gain * observations[:, :, :1] + np.arange(act_dim)).astype(np.float32)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tasks that worlds are built of, from here on."""
    names: list[str] = []
    make = envs.make
    monkeypatch.setattr(envs, "make", lambda name, **facts: (names.append(name), make(name, **facts))[1])
    return names


@pytest.mark.parametrize("name", TASKS)
def test_evaluations_in_worlds_that_were_played_in_are_those_of_new_worlds(
    name: str, made: list[str]
) -> None:
    task = task_of(name)
    policies = [policy_of(task), policy_of(task, -7.0)]
    made.clear()
    with closing(EvaluationWorlds(task, 1)) as worlds:
        found = [worlds.evaluate(policies[number % 2], number * 100) for number in range(3)]
        assert made == [name]
    assert found == [evaluate(policies[number % 2], task, 1, number * 100) for number in range(3)]


def test_worlds_in_which_something_went_wrong_are_not_played_in_again(made: list[str]) -> None:
    task = task_of("push-mass")
    policy = policy_of(task)
    made.clear()
    with closing(EvaluationWorlds(task, 1)) as worlds:
        with pytest.raises(envs.NonFiniteError):
            worlds.evaluate(lambda observations: policy(observations) * np.nan, 0)
        assert worlds.evaluate(policy, 0) == evaluate(policy, task, 1, 0)
    assert len(made) == 3


def test_an_engine_that_may_keep_something_is_started_for_every_evaluation(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not IsaacGymEnvironment.starts_afresh
    monkeypatch.setattr(envs.registry.TASKS["push-mass"].engines["numpy"].load(), "starts_afresh", False)
    task = task_of("push-mass")
    policy = policy_of(task)
    made.clear()
    with closing(EvaluationWorlds(task, 1)) as worlds:
        worlds.evaluate(policy, 0)
        worlds.evaluate(policy, 100)
    assert len(made) == 2


def test_what_fails_for_a_moment_is_tried_again_and_what_is_refused_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(envs.retry, "PAUSES", (0.0, 0.0))
    calls: list[int] = []

    def failing(times: int, error: Exception):
        def build(task: str, num_envs: int, seed: int, preset: str) -> PushMass:
            calls.append(num_envs)
            if len(calls) <= times:
                raise error
            return PushMass("push-mass", num_envs, seed, preset)

        return lambda engine: build

    for times, error, tries in (
        (2, ValueError("Caught an unknown exception!"), 3),
        (1, OSError(5, "Input/output error"), 2),
    ):
        calls.clear()
        monkeypatch.setattr(envs.registry.Engine, "load", failing(times, error))
        assert isinstance(envs.make("halfcheetah-2x3"), PushMass)
        assert len(calls) == tries
        assert capsys.readouterr().err.count("trying again") == times
    for error, tries in ((ValueError("for ever"), 3), (envs.EnvironmentsError("refused"), 1)):
        calls.clear()
        monkeypatch.setattr(envs.registry.Engine, "load", failing(9, error))
        with pytest.raises(type(error), match=str(error)):
            envs.make("halfcheetah-2x3")
        assert len(calls) == tries
