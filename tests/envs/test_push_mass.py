"""The closed-form task against numbers worked out by hand, and the returns of three policies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import envs
from envs import push_mass
from envs.pettingzoo_adapter import as_parallel_env
from envs.push_mass import COUPLED, next_state
from envs.scripted import push_to_goal_together

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


def mean_return(policy: Callable[[np.ndarray], np.ndarray], task: str = "push-mass") -> float:
    """Over 4000 episodes: the standard error is 0.4 where a return's deviation is 25."""
    env = envs.make(task, 4000)
    _, state = env.reset()
    returns = np.zeros(4000)
    for _ in range(env.spec.episode_limit):
        _, state, reward, *_ = env.step(policy(state).astype(np.float32))
        returns += reward
    return returns.mean()


def test_return_of_standing_still() -> None:
    # 50 (1 - E|p - g|); the mean distance of two points in a square of side 2 is 2 * 0.5214054331
    assert_allclose(
        mean_return(lambda state: np.zeros((len(state), 2, 1))), 50 * (1 - 2 * 0.5214054331), rtol=0, atol=1.6
    )


def test_return_of_uniform_actions() -> None:
    random = np.random.default_rng(0)
    assert -14 < mean_return(lambda state: random.uniform(-1, 1, (len(state), 2, 1))) < -10


@pytest.mark.parametrize("task", ["push-mass", "push-mass-3", "push-mass-12"])
def test_return_of_a_good_controller(task: str) -> None:
    """Each agent pushes for its own direction alone, as it could from what it observes; the size of the team
    hardly matters."""
    along = push_mass.directions(envs.make(task).spec.n_agents)

    def push(state: np.ndarray) -> np.ndarray:
        position, velocity, goal = np.split(state, 3, axis=1)
        return ((8 * (goal - position) - 6 * velocity) @ along.T)[:, :, None]

    assert 43.5 < mean_return(push, task) < 45


def test_two_agents_of_the_family_are_push_mass_itself() -> None:
    pair, own = envs.make("push-mass-2", 4, seed=2), envs.make("push-mass", 4, seed=2)
    for one, other in zip(pair.reset(), own.reset(), strict=True):
        assert_array_equal(one, other)
    for action in np.random.default_rng(0).uniform(-2, 2, (60, 4, 2, 1)).astype(np.float32):
        one, other = pair.step(action), own.step(action)
        for name in ("obs", "state", "reward", "truncated"):
            assert_array_equal(getattr(one, name), getattr(other, name))
    assert_array_equal(pair.render(1), own.render(1))


def test_four_agents_by_hand() -> None:
    """At 0, 45, 90 and 135 degrees; f = (a_0 + (a_1 - a_3) / sqrt 2, a_2 + (a_1 + a_3) / sqrt 2) / 2."""
    slant = np.sqrt(0.5)
    assert_allclose(
        push_mass.directions(4), [[1, 0], [slant, slant], [0, 1], [-slant, slant]], rtol=0, atol=1e-15
    )
    actions = np.array([[[0.4], [1.0], [-3.0], [0.5]]])  # the third is clipped to -1
    force = [(0.4 + 0.5 * slant) / 2, (-1 + 1.5 * slant) / 2]
    assert_allclose(push_mass.force(actions), [force], rtol=0, atol=1e-15)
    successor = next_state(STATE, actions)
    assert_allclose(
        successor[0, 2:4], [0.09 + 0.1 * force[0] - 0.006, -0.27 + 0.1 * force[1] - 0.002], rtol=0, atol=1e-15
    )
    # (2 / 4) (0.16 + 1 + 1 + 0.25) of effort
    distance = np.hypot(*(successor[0, 0:2] - successor[0, 4:6]))
    assert_allclose(push_mass.reward(successor, actions), [1 - distance - 0.01 * 1.205], rtol=0, atol=1e-15)


@pytest.mark.parametrize("agents", [2, 3, 4, 6, 24])
def test_a_team_of_any_size_has_the_same_reach(agents: int) -> None:
    """a_i = d_i . u gives u with the effort |u|^2; agents that push as others do, or a turned team, change
    nothing but names."""
    along = push_mass.directions(agents)
    wanted = np.array([[0.6, -0.8], [0.3, 0.1], [0.0, 1.0]])
    actions = (wanted @ along.T)[:, :, None]
    assert_allclose(push_mass.force(actions), wanted, rtol=0, atol=1e-14)
    assert_allclose(
        2 / agents * np.square(actions).sum(axis=(1, 2)), np.square(wanted).sum(axis=1), rtol=0, atol=1e-14
    )
    everything = np.sign(np.random.default_rng(0).normal(size=(2000, agents, 1)))
    assert np.linalg.norm(push_mass.force(everything), axis=1).max() <= np.sqrt(2) + 1e-12
    # by one agent further, the last one's push now being the first one's backwards: the whole turns by pi / N
    pushed = np.random.default_rng(1).uniform(-1, 1, (5, agents, 1))
    turned = np.concatenate([-pushed[:, -1:], pushed[:, :-1]], axis=1)
    cos, sin = np.cos(np.pi / agents), np.sin(np.pi / agents)
    assert_allclose(
        push_mass.force(turned),
        push_mass.force(pushed) @ np.array([[cos, sin], [-sin, cos]]),
        rtol=0,
        atol=1e-14,
    )


def test_agents_of_a_team_see_along_their_own_direction() -> None:
    env = envs.make("push-mass-4", 2, seed=1)
    obs, state = env.reset()
    obs, state, *_ = env.step(np.full((2, 4, 1), 0.5, dtype=np.float32))
    along = push_mass.directions(4)
    for world in range(2):
        seen = np.stack([along @ state[world, part : part + 2] for part in (0, 2, 4)], axis=1)
        assert_allclose(obs[world], np.concatenate([seen, np.eye(4)], axis=1), rtol=0, atol=1e-7)


@pytest.mark.parametrize("agents", [2, 3, 24, 64])
def test_a_team_keeps_the_promises_of_an_environment(agents: int) -> None:
    """Its sizes; PettingZoo's names; a saved simulation goes on bit for bit and fits no other team; pictures
    from states."""
    env = envs.make(f"push-mass-{agents}", 2, seed=5)
    spec = env.spec
    assert (spec.n_agents, spec.obs_dim, spec.state_dim, spec.act_dim, spec.episode_limit) == (
        agents,
        3 + agents,
        6,
        1,
        50,
    )
    assert (spec.task, spec.lineage) == (f"push-mass-{agents}", "push-mass-N-v1 (closed form)")
    _, state = env.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (4, 2, agents, 1)).astype(np.float32)
    saved = env.get_sim_state()
    first = [env.step(action) for action in actions]
    env.set_sim_state(saved)
    for one, other in zip(first, [env.step(action) for action in actions], strict=True):
        assert_array_equal(one.state, other.state)
        assert_array_equal(one.obs, other.obs)
    with pytest.raises(envs.SimStateMismatchError, match="task"):
        envs.make("push-mass", 2).set_sim_state(saved)
    assert env.render(1, 60, 80).std() > 10
    assert env.render_states(np.stack([state[0], first[0].state[0]]), 60, 80).shape == (2, 60, 80, 3)
    parallel = as_parallel_env(f"push-mass-{agents}")
    observations, _ = parallel.reset(seed=5)
    assert [observed.shape for observed in observations.values()] == [(3 + agents,)] * agents


@pytest.mark.parametrize(
    "name",
    ["push-mass-0", "push-mass-1", "push-mass-65", "push-mass-1000000000", "push-mass-03", "push-mass-two"],
)
def test_a_team_of_another_size_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(envs.UnknownTaskError) as caught:
        envs.make(name)
    teams = "push-mass-2 to push-mass-64, by the number of agents"
    assert str(caught.value) == f"unknown task {name!r}: choose push-mass-coupled, or one of {teams}"


SLANT = np.sqrt(0.2)


@pytest.mark.parametrize(
    ("actions", "force"),
    [
        ((1, 1), (3 * SLANT, 3 * SLANT)),
        ((1, -1), (SLANT, -SLANT)),
        ((0.5, 0), (SLANT, 0.5 * SLANT)),
        ((3, 0.5), (2.5 * SLANT, 2 * SLANT)),
    ],
)
def test_coupled_forces_by_hand(actions: tuple[float, float], force: tuple[float, float]) -> None:
    """From rest at p = 0 and g = (1, 0), through the environment's own step; the last action is clipped to
    1."""
    given = np.array(actions, dtype=np.float32).reshape(1, 2, 1)
    assert_allclose(push_mass.force(given, COUPLED), [force], rtol=0, atol=1e-15)
    env = envs.make("push-mass-coupled")
    env.reset()
    saved = env.get_sim_state()
    saved["engine_state"]["worlds"][:] = [[0, 0, 0, 0, 1, 0]]
    env.set_sim_state(saved)
    result = env.step(given)
    fx, fy = force
    assert_allclose(result.state, [[0.03 * fx, 0.03 * fy, 0.1 * fx, 0.1 * fy, 1, 0]], rtol=0, atol=1e-7)
    effort = min(actions[0], 1) ** 2 + actions[1] ** 2
    assert_allclose(
        result.reward, [1 - np.hypot(0.03 * fx - 1, 0.03 * fy) - 0.01 * effort], rtol=0, atol=1e-7
    )


def test_coupled_worlds_follow_the_formula_written_out_again() -> None:
    env = envs.make("push-mass-coupled", 40, seed=2)
    assert env.spec.lineage == "push-mass-coupled-v1 (closed form)"
    _, state = env.reset()
    assert_array_equal(state, envs.make("push-mass", 40, seed=2).reset()[1])
    for action in np.random.default_rng(0).uniform(-2, 2, (49, 40, 2, 1)).astype(np.float32):
        result = env.step(action)
        assert_array_equal(result.state, next_state(state, action, COUPLED).astype(np.float32))
        for world in range(40):
            px, py, vx, vy, gx, gy = (float(number) for number in state[world])
            first, second = (min(1.0, max(-1.0, float(pushed))) for pushed in action[world, :, 0])
            fx, fy = (2 * first + second) / 5**0.5, (first + 2 * second) / 5**0.5
            vx, vy = 0.9 * vx + 0.1 * fx + 0.02 * vy, 0.9 * vy + 0.1 * fy - 0.02 * vx
            px, py = min(1.5, max(-1.5, px + 0.3 * vx)), min(1.5, max(-1.5, py + 0.3 * vy))
            assert_allclose(result.state[world], [px, py, vx, vy, gx, gy], rtol=0, atol=3e-7)
            reward = 1 - ((px - gx) ** 2 + (py - gy) ** 2) ** 0.5 - 0.01 * (first**2 + second**2)
            assert_allclose(result.reward[world], reward, rtol=0, atol=1e-6)
        state = result.state


def test_coupled_agents_see_everything_and_their_id() -> None:
    env = envs.make("push-mass-coupled", 2)
    env.reset()
    obs, state, *_ = env.step(np.full((2, 2, 1), 0.7, dtype=np.float32))
    for world in range(2):
        assert_array_equal(obs[world], [[*state[world], 1, 0], [*state[world], 0, 1]])


def test_the_pushes_of_a_coupled_force_are_found_again() -> None:
    random = np.random.default_rng(0)
    state, actions = random.uniform(-0.5, 0.5, (50, 6)), random.uniform(-1, 1, (50, 2, 1))
    found = push_mass.force_between(state, next_state(state, actions, COUPLED))
    assert_allclose(found, push_mass.force(actions, COUPLED), atol=1e-13)
    assert_allclose(np.linalg.solve(COUPLED.T, found.T).T, actions[:, :, 0], atol=1e-12)


def test_coupled_returns() -> None:
    """Seed 0, 4000 episodes: zero actions -1.45 (as in push-mass, from the same starts), uniform ones -11.6,
    the script 42.2."""
    random = np.random.default_rng(0)
    task = "push-mass-coupled"
    assert -2 < mean_return(lambda state: np.zeros((len(state), 2, 1)), task) < -1
    assert -13.5 < mean_return(lambda state: random.uniform(-1, 1, (len(state), 2, 1)), task) < -10.5
    scripted = mean_return(
        lambda state: push_to_goal_together(state, np.zeros(len(state), dtype=np.int64)), task
    )
    assert 41.5 < scripted < 43


def test_coupled_script_in_fifty_episodes() -> None:
    env = envs.make("push-mass-coupled", 50)
    _, state = env.reset()
    for step in range(50):
        result = env.step(push_to_goal_together(state, np.full(50, step)))
        state = result.state
    assert result.info["episode_return"].mean() > 40
