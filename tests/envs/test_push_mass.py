"""The closed-form task against numbers worked out by hand, and the returns of three policies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

import envs
from envs import push_mass
from envs.push_mass import next_state

STATE = np.array([[0.5, -0.2, 0.1, -0.3, -1.0, 1.0]])
ACTIONS = np.array([[[2.0], [-0.5]]])  # the first is clipped to 1


def test_one_step_by_hand() -> None:
    # v' = (0.09 + 0.1 - 0.006, -0.27 - 0.05 - 0.002), p' = (0.5 + 0.0552, -0.2 - 0.0966)
    expected = [[0.5552, -0.2966, 0.184, -0.322, -1.0, 1.0]]
    successor = next_state(STATE, ACTIONS)
    assert successor.dtype == np.float64
    assert_allclose(successor, expected, rtol=0, atol=1e-15)
    # |p' - g| = sqrt(1.5552^2 + 1.2966^2), |f|^2 = 1 + 0.25
    assert_allclose(push_mass.reward(successor, ACTIONS), [1 - 2.024800879 - 0.0125], rtol=0, atol=1e-9)


def test_each_agent_pushes_along_its_own_axis() -> None:
    still = next_state(np.zeros((1, 6)), np.zeros((1, 2, 1)))
    for agent, moved in ((0, [0, 2]), (1, [1, 3])):
        actions = np.zeros((1, 2, 1))
        actions[0, agent] = 0.5
        change = next_state(np.zeros((1, 6)), actions) - still
        assert_array_equal(np.flatnonzero(change), moved)
        assert_allclose(change[0, moved], [0.3 * 0.05, 0.05])


def test_the_mass_stops_at_the_walls_but_keeps_its_velocity() -> None:
    fast = np.array([[1.45, -1.45, 2.0, -2.0, 0.0, 0.0]])
    successor = next_state(fast, np.zeros((1, 2, 1)))
    assert_allclose(successor[0], [1.5, -1.5, 1.8 - 0.04, -1.8 - 0.04, 0, 0])


def test_the_environment_follows_the_closed_form_exactly() -> None:
    env = envs.make("push-mass", 4, seed=2)
    _, state = env.reset()
    actions = np.random.default_rng(0).uniform(-2, 2, (49, 4, 2, 1)).astype(np.float32)
    for action in actions:
        result = env.step(action)
        assert_array_equal(result.state, next_state(state, action).astype(np.float32))
        assert_allclose(result.reward, push_mass.reward(result.state, action), rtol=1e-6)
        state = result.state


def test_an_agent_sees_its_own_axis_and_its_id() -> None:
    env = envs.make("push-mass", 2)
    env.reset()
    obs, state, *_ = env.step(np.ones((2, 2, 1), dtype=np.float32))
    for world in range(2):
        px, py, vx, vy, gx, gy = state[world]
        assert_array_equal(obs[world], np.array([[px, vx, gx, 1, 0], [py, vy, gy, 0, 1]]))


def test_starts_come_from_the_world_seed() -> None:
    _, state = envs.make("push-mass", 3, seed=4).reset()
    for world in range(3):
        px, py, gx, gy = np.random.default_rng(4000 + world).uniform(-1, 1, 4)
        assert_array_equal(state[world], np.array([px, py, 0, 0, gx, gy], dtype=np.float32))
    _, many = envs.make("push-mass", 2000).reset()
    assert np.abs(many).max() <= 1
    assert_allclose(many.mean(axis=0), 0, atol=0.05)
    assert_allclose(many[:, [0, 1, 4, 5]].std(axis=0), 1 / np.sqrt(3), rtol=0.05)


def mean_return(policy: Callable[[np.ndarray], np.ndarray]) -> float:
    """Over 4000 episodes: the standard error is 0.4 where a return's deviation is 25."""
    env = envs.make("push-mass", 4000)
    _, state = env.reset()
    returns = np.zeros(4000)
    for _ in range(env.spec.episode_limit):
        _, state, reward, *_ = env.step(policy(state).astype(np.float32))
        returns += reward
    return returns.mean()


def test_return_of_standing_still() -> None:
    # 50 (1 - E|p - g|); the mean distance of two points in a square of side 2 is 2 * 0.5214054331
    assert_allclose(mean_return(lambda state: np.zeros((len(state), 2, 1))), 50 * (1 - 2 * 0.5214054331), rtol=0, atol=1.6)


def test_return_of_uniform_actions() -> None:
    random = np.random.default_rng(0)
    assert -14 < mean_return(lambda state: random.uniform(-1, 1, (len(state), 2, 1))) < -10


def test_return_of_a_good_controller() -> None:
    def push(state: np.ndarray) -> np.ndarray:
        position, velocity, goal = np.split(state, 3, axis=1)
        return (8 * (goal - position) - 6 * velocity)[:, :, None]

    assert 43.5 < mean_return(push) < 45
