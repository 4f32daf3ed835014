"""Our worlds as HARL sees them: who drives what, what the critic sees, and how an episode ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import envs
from dima.baselines.harl_environment import HarlWorlds, feature_zscore
from envs import BatchedEnvironment, EnvSpec, SimState, StepResult


class Scripted(BatchedEnvironment):
    """Three worlds of two agents: at step 2 world 0 is truncated, world 1 terminated, and world 2 both at
    once."""

    spec = EnvSpec("scripted", "toy", 2, 4, 3, 2, 2, "none", "scripted", "paper")
    num_envs = 3

    def __init__(self) -> None:
        self.steps = 0

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self._obs(), self._state()

    def step(self, actions: np.ndarray) -> StepResult:
        self.steps += 1
        end = self.steps == 2
        terminated, truncated = np.array([False, end, end]), np.array([end, False, end])
        reward = np.array([1, 2, 3], dtype=np.float32) * self.steps
        info = {
            "episode_return": np.array([10.0, 20.0, 30.0]),
            "final_obs": self._obs() - 0.5,
            "final_state": self._state() - 0.5,
        }
        return StepResult(self._obs(), self._state(), reward, terminated, truncated, info)

    def _obs(self) -> np.ndarray:
        return np.full((3, 2, 4), self.steps, dtype=np.float32)

    def _state(self) -> np.ndarray:
        return np.arange(9, dtype=np.float32).reshape(3, 3) + self.steps

    def get_sim_state(self) -> SimState:
        return {}

    def set_sim_state(self, saved: SimState) -> None: ...

    def close(self) -> None: ...


def test_spaces_give_each_agent_its_widths() -> None:
    worlds = HarlWorlds(Scripted())
    assert worlds.n_agents == 2
    assert [space.shape for space in worlds.observation_space] == [(4,), (4,)]
    assert [space.shape for space in worlds.share_observation_space] == [(3,), (3,)]
    assert [space.shape for space in worlds.action_space] == [(2,), (2,)]


def test_reward_state_and_end_are_the_same_for_all_agents() -> None:
    worlds = HarlWorlds(Scripted())
    worlds.reset()
    worlds.step(np.zeros((3, 2, 2), dtype=np.float32))
    step = worlds.step(np.zeros((3, 2, 2), dtype=np.float32))
    np.testing.assert_array_equal(step.rewards, [[[2], [2]], [[4], [4]], [[6], [6]]])
    np.testing.assert_array_equal(step.dones, [[True, True]] * 3)
    np.testing.assert_array_equal(step.share_obs[1], [[5, 6, 7], [5, 6, 7]])


def test_only_a_truncated_world_that_did_not_terminate_is_a_bad_transition() -> None:
    worlds = HarlWorlds(Scripted())
    worlds.reset()
    running = worlds.step(np.zeros((3, 2, 2), dtype=np.float32))
    assert running.infos == [[{}, {}], [{}, {}], [{}, {}]]
    ended = worlds.step(np.zeros((3, 2, 2), dtype=np.float32))
    assert [info[0]["bad_transition"] for info in ended.infos] == [True, False, False]
    assert [info[1]["episode_return"] for info in ended.infos] == [10, 20, 30]


def test_where_an_episode_ended_stands_what_was_last_seen_of_it() -> None:
    """The observations of the steps themselves are already those of the next episode."""
    worlds = HarlWorlds(Scripted())
    worlds.reset()
    worlds.step(np.zeros((3, 2, 2), dtype=np.float32))
    ended = worlds.step(np.zeros((3, 2, 2), dtype=np.float32))
    np.testing.assert_array_equal(ended.infos[1][0]["original_obs"], np.full((2, 4), 1.5))
    np.testing.assert_array_equal(ended.infos[1][0]["original_state"], [[4.5, 5.5, 6.5]] * 2)


def test_zscore_by_hand() -> None:
    """(0, 0, 3, 1): mean 1, deviations -1 -1 2 0, population deviation sqrt(6 / 4)."""
    scaled = feature_zscore(np.array([[0, 0, 3, 1]], dtype=np.float32))
    np.testing.assert_allclose(scaled, [np.array([-1, -1, 2, 0]) / np.sqrt(1.5)], rtol=1e-6)


def test_critics_see_the_zscored_state_in_the_papers_mamujoco_and_the_raw_one_elsewhere() -> None:
    pytest.importorskip("mujoco")
    environment = envs.make("halfcheetah-2x3", num_envs=2, seed=5)
    _, share_obs, _ = HarlWorlds(environment).reset()
    _, state = envs.make("halfcheetah-2x3", num_envs=2, seed=5).reset()
    for world in range(2):
        expected = (state[world] - np.mean(state[world])) / np.std(state[world])
        for agent in range(2):
            np.testing.assert_allclose(share_obs[world, agent], expected, rtol=1e-5, atol=1e-6)

    for task, preset in (("push-mass", "paper"), ("halfcheetah-2x3", "gymnasium-robotics"), ("pen", "v1")):
        _, share_obs, _ = HarlWorlds(envs.make(task, seed=5, preset=preset)).reset()
        _, state = envs.make(task, seed=5, preset=preset).reset()
        np.testing.assert_array_equal(share_obs, state[:, None].repeat(2, axis=1))


def test_agent_i_drives_the_actuators_from_i_times_d_on_unclipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against gymnasium's robot, its six actuators driven in XML order; 1.5 costs more than the 1.0 that
    MuJoCo clips it to."""
    gymnasium = pytest.importorskip("gymnasium")
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)  # where MuJoCo notes that gymnasium's robot uses a deprecated setting
    agents = np.array([[[0.9, -0.4, 0.2], [-0.7, 0.1, 1.5]]], dtype=np.float32)
    worlds = HarlWorlds(envs.make("halfcheetah-2x3", seed=5))
    worlds.reset()
    step = worlds.step(agents)

    robot = gymnasium.make("HalfCheetah-v5")
    robot.reset(seed=5 * 1000)
    _, reward, *_ = robot.step(np.array([0.9, -0.4, 0.2, -0.7, 0.1, 1.5], dtype=np.float32))
    robot.reset(seed=5 * 1000)
    _, swapped_reward, *_ = robot.step(np.array([-0.7, 0.1, 1.5, 0.9, -0.4, 0.2], dtype=np.float32))
    robot.close()
    assert step.rewards[0, 0, 0] == pytest.approx(reward, rel=1e-6)
    assert abs(reward - swapped_reward) > 0.01
