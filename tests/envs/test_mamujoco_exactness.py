"""Both presets against the packages they follow, bit for bit, over whole episodes and beyond the actuators'
range."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium_robotics import mamujoco_v1
from numpy.testing import assert_array_equal

import envs
from envs.mamujoco import MultiAgentMujoco

SEED, WORLDS = 3, 2
V2_ANT = {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0}
WALKER_THREE_BY_TWO = [
    ("foot_joint", "leg_joint"),
    ("thigh_joint", "foot_left_joint"),
    ("leg_left_joint", "thigh_left_joint"),
]
THREE_BY_TWO = {
    "HalfCheetah": [("bfoot", "bshin"), ("bthigh", "ffoot"), ("fshin", "fthigh")],
    "Walker2d": WALKER_THREE_BY_TWO,
}


@pytest.fixture(autouse=True)
def _scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo appends its warnings to a file in the working folder."""
    monkeypatch.chdir(tmp_path)


def setup(task: str, steps: int, preset: str = "paper") -> tuple[MultiAgentMujoco, np.ndarray, np.ndarray]:
    """An environment, its first states, and actions a quarter of which lie beyond the range."""
    env = envs.make(task, WORLDS, SEED, preset)
    assert isinstance(env, MultiAgentMujoco)
    shape = (steps, WORLDS, env.spec.n_agents, env.spec.act_dim)
    return env, env.reset()[1], np.random.default_rng(0).uniform(-1.3, 1.3, shape).astype(np.float32)


def padded(numbers: np.ndarray, size: int) -> np.ndarray:
    return np.pad(numbers, (0, size - numbers.size)).astype(np.float32)


def integration_state(robot: Any) -> np.ndarray:
    state = np.empty(mujoco.mj_stateSize(robot.model, mujoco.mjtState.mjSTATE_INTEGRATION))
    mujoco.mj_getState(robot.model, robot.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
    return state


@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
@pytest.mark.parametrize(
    ("task", "older", "arguments", "bonus", "steps"),
    [
        ("halfcheetah-2x3", "HalfCheetah-v5", {}, 0, 1010),
        ("halfcheetah-6x1", "HalfCheetah-v4", {}, 0, 300),
        ("walker2d-3x2", "Walker2d-v4", {}, 0, 400),
        ("walker2d-2x3", "Walker2d-v5", {"xml_file": "walker2d.xml"}, 1, 200),
        ("ant-4x2", "Ant-v4", {}, 0, 700),
        ("ant-2x4", "Ant-v5", V2_ANT, 1, 300),
    ],
)
def test_every_world_of_the_paper_preset_is_gymnasiums_own_environment(
    task: str, older: str, arguments: dict[str, Any], bonus: int, steps: int
) -> None:
    """Gymnasium's v4 keeps v2's rewards; its v5 pays `bonus` less on the step that ends an episode."""
    env, state, actions = setup(task, steps)
    oracles = [gymnasium.make(older, disable_env_checker=True, **arguments) for _ in range(WORLDS)]
    returns, ends = np.zeros(WORLDS), 0
    for world, oracle in enumerate(oracles):
        assert_array_equal(
            state[world], padded(oracle.reset(seed=SEED * 1000 + world)[0], env.spec.state_dim)
        )
    for action in actions:
        result = env.step(action)
        for world, oracle in enumerate(oracles):
            successor, reward, terminated, truncated, _ = oracle.step(action[world].reshape(-1))
            assert_array_equal(result.info["final_state"][world], padded(successor, env.spec.state_dim))
            assert (result.terminated[world], result.truncated[world]) == (terminated, truncated)
            returns[world] += reward + bonus * terminated
            if bonus and terminated:  # one rounding more
                assert result.info["episode_return"][world] == pytest.approx(returns[world], rel=1e-12)
            else:
                assert result.info["episode_return"][world] == returns[world]
            if terminated or truncated:
                successor, _ = oracle.reset()
                returns[world], ends = 0, ends + 1
            assert_array_equal(result.state[world], padded(successor, env.spec.state_dim))
    assert ends > 0 or steps < 1000 and task.startswith("halfcheetah")
    simulated = env.get_sim_state()["engine_state"]["integration"]
    assert_array_equal(simulated, np.stack([integration_state(oracle.unwrapped) for oracle in oracles]))


def parallel_env(scenario: str, split: str) -> Any:
    factorization = None
    if split == "3x2":
        (joints,), edges, root = mamujoco_v1.get_parts_and_edges(scenario, None)
        partition = [
            tuple(joint for name in agent for joint in joints if joint.label == name)
            for agent in THREE_BY_TWO[scenario]
        ]
        factorization = {"partition": partition, "edges": edges, "globals": root}
    return mamujoco_v1.parallel_env(scenario, split, agent_factorization=factorization)


@pytest.mark.parametrize(
    ("scenario", "split", "steps"),
    [
        ("Ant", "2x4", 400),
        ("Ant", "4x2", 400),
        ("HalfCheetah", "2x3", 1010),
        ("HalfCheetah", "3x2", 200),
        ("HalfCheetah", "6x1", 200),
        ("Walker2d", "2x3", 400),
        ("Walker2d", "3x2", 400),
    ],
)
def test_every_world_of_the_other_preset_is_gymnasium_robotics_own_environment(
    scenario: str, split: str, steps: int
) -> None:
    env, state, actions = setup(f"{scenario.lower()}-{split}", steps, "gymnasium-robotics")
    oracles = [parallel_env(scenario, split) for _ in range(WORLDS)]
    size, returns, ends = env.spec.obs_dim, np.zeros(WORLDS), 0
    for world, oracle in enumerate(oracles):
        oracle.reset(seed=SEED * 1000 + world)
        assert_array_equal(state[world], oracle.state().astype(np.float32))
    assert max(len(oracles[0].observation_space(agent).low) for agent in oracles[0].possible_agents) == size
    for action in actions:
        result = env.step(action)
        for world, oracle in enumerate(oracles):
            agents = oracle.possible_agents
            seen, rewards, terminated, truncated, _ = oracle.step(
                dict(zip(agents, action[world], strict=True))
            )
            expected = np.stack([padded(seen[agent], size) for agent in agents])
            assert_array_equal(result.info["final_obs"][world], expected)
            assert_array_equal(result.info["final_state"][world], oracle.state().astype(np.float32))
            assert (result.terminated[world], result.truncated[world]) == (
                terminated["agent_0"],
                truncated["agent_0"],
            )
            returns[world] += rewards["agent_0"]
            assert result.info["episode_return"][world] == returns[world]
            if result.terminated[world] or result.truncated[world]:
                seen, _ = oracle.reset()
                expected = np.stack([padded(seen[agent], size) for agent in agents])
                returns[world], ends = 0, ends + 1
            assert_array_equal(result.obs[world], expected)
            assert_array_equal(result.state[world], oracle.state().astype(np.float32))
    assert ends > 0 or steps < 1000 and scenario == "HalfCheetah"


def test_the_exactness_of_contact_forces_is_put_to_the_test() -> None:
    env, _, actions = setup("ant-2x4", 100, "gymnasium-robotics")
    forces = np.stack([env.step(action).info["final_state"][:, 27:] for action in actions])
    assert np.abs(forces).max() == 1  # clipped
    assert ((forces != 0) & (np.abs(forces) < 1)).any()


def test_local_observations_carry_velocities_that_the_state_clips() -> None:
    env = envs.make("walker2d-2x3", preset="gymnasium-robotics")
    assert isinstance(env, MultiAgentMujoco)
    env.reset()
    env.robots.qvel[:] = 25
    result = env.step(np.zeros((1, 2, 3), dtype=np.float32))
    assert result.info["final_state"].max() == 10
    assert result.info["final_obs"].max() > 10
