"""From observations, real and predicted ones, back to the global states that they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import envs
from envs.mamujoco.observations import SMALLEST_GAP, feature_zscore, states_seen

MAMUJOCO = [task for task, entry in envs.TASKS.items() if entry.suite == "mamujoco"]


@pytest.fixture(autouse=True)
def _scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo appends its warnings to a file in the working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("task", MAMUJOCO)
def test_real_observations_show_the_real_states(task: str) -> None:
    env = envs.make(task, 4, seed=2)
    observations, states = env.reset()
    seen, real = [observations], [states]
    for action in (
        np.random.default_rng(0)
        .uniform(-1, 1, (25, 4, env.spec.n_agents, env.spec.act_dim))
        .astype(np.float32)
    ):
        result = env.step(action)
        seen.append(result.obs)
        real.append(result.state)
    found = env.states_seen(np.concatenate(seen))
    assert found.dtype == np.float64
    assert_allclose(found, np.concatenate(real), rtol=2e-6, atol=2e-5)
    assert np.abs(np.concatenate(real)).max() > 1
    env.close()


@pytest.mark.parametrize("n_agents", [2, 3, 6])
def test_large_and_small_states_come_back(n_agents: int) -> None:
    random = np.random.default_rng(n_agents)
    states = random.normal(size=(200, 17)) * np.geomspace(1e-3, 30, 200)[:, None] + random.normal(
        size=(200, 1)
    )
    assert_allclose(states_seen(feature_zscore(states, n_agents)), states, rtol=0, atol=1e-11)


def test_by_hand() -> None:
    """Agent 0 sees (5, 7) shifted by 1 and scaled by 2, its id (0, -1/2), agent 1 sees (3, 8) as it is: on
    average (4, 7.5)."""
    views = np.array([[[2.0, 3.0, 0.0, -0.5], [3.0, 8.0, 0.0, 1.0]]])
    assert_allclose(states_seen(views), [[4.0, 7.5]], rtol=1e-15)


def test_the_other_agents_entries_are_averaged() -> None:
    one = np.array(
        [2.0, 1.0, 0.1, -0.1, 0.0]
    )  # of the first of four agents: the others' entries err by (.1, -.1, 0)
    views = np.stack([one, *([2.0, *np.eye(4)[agent]] for agent in (1, 2, 3))])
    assert_allclose(states_seen(views[None]), [[2.0]], rtol=1e-15)


@pytest.mark.parametrize("gap", [SMALLEST_GAP / 100, 0.0, -1.0])
def test_an_id_that_tells_no_scale_distorts_and_breaks_nothing(gap: float) -> None:
    views = np.array([[[0.5, -0.5, 0.2 + gap, 0.2], [0.5, -0.5, 0.2, 0.2 + gap]]])
    assert_allclose(states_seen(views), np.array([[0.3, -0.7]]) / SMALLEST_GAP, rtol=1e-12)


@pytest.mark.parametrize("task", ["push-mass", "push-mass-coupled", "bottle-cap"])
def test_where_observations_leave_something_out_no_state_is_told(task: str) -> None:
    env = envs.make(task)
    observations, _ = env.reset()
    with pytest.raises(
        envs.UntoldStateError, match=f"the observations of {task} with preset .* do not determine its state"
    ):
        env.states_seen(observations)
    env.close()


def test_local_views_do_not_tell_the_state_and_other_shapes_are_refused() -> None:
    local = envs.make("ant-2x4", preset="gymnasium-robotics")
    with pytest.raises(
        envs.UntoldStateError,
        match="the observations of ant-2x4 with preset gymnasium-robotics do not determine its state",
    ):
        local.states_seen(local.reset()[0])
    local.close()
    env = envs.make("ant-2x4")
    with pytest.raises(
        envs.InvalidArgumentError, match=r"ant-2x4 has \(time, agents, observation\) = \(any, 2, 113\)"
    ):
        env.states_seen(env.reset()[0][:, :, 1:])
    env.close()
