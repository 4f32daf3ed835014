"""The adapter by PettingZoo's own tests, and number by number against the batched environment."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pettingzoo.test import parallel_api_test, parallel_seed_test

import envs
from envs.pettingzoo_adapter import ParallelWorld, as_parallel_env


@pytest.fixture(params=sorted(envs.TASKS))
def task(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # MuJoCo appends its warnings to a file in the working folder
    return request.param


def by_agent(action: np.ndarray) -> dict[str, np.ndarray]:
    """One world's joint action as PettingZoo passes it."""
    return {f"agent_{number}": part for number, part in enumerate(action)}


def test_pettingzoos_own_interface_test(task: str) -> None:
    env = as_parallel_env(task)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        parallel_api_test(env, num_cycles=env.spec.episode_limit + 5 if env.spec.suite == "toy" else 30)
    env.close()


def test_pettingzoos_own_seed_test(task: str) -> None:
    parallel_seed_test(lambda: as_parallel_env(task), num_cycles=15)


def test_a_tasks_first_preset_is_the_default() -> None:
    assert [as_parallel_env(task).spec.preset for task in ("pen", "ant-2x4")] == ["v1", "paper"]


@pytest.mark.parametrize(
    ("task", "preset"),
    [(task, preset) for task, entry in sorted(envs.TASKS.items()) for preset in entry.presets],
)
def test_spaces_and_names(task: str, preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    env = as_parallel_env(task, preset=preset)
    spec = env.spec
    assert (
        env.possible_agents
        == ["agent_0", "agent_1", "agent_2", "agent_3", "agent_4", "agent_5"][: spec.n_agents]
    )
    bound = 5 if spec.suite == "bidexhands" else np.inf
    for agent in env.possible_agents:
        observed, acted = env.observation_space(agent), env.action_space(agent)
        assert (observed.shape, observed.dtype, observed.low.min(), observed.high.max()) == (
            (spec.obs_dim,),
            np.float32,
            -bound,
            bound,
        )
        assert (acted.shape, acted.dtype, acted.low.min(), acted.high.max()) == (
            (spec.act_dim,),
            np.float32,
            -1,
            1,
        )
    assert env.agents == []
    env.reset(seed=3)
    assert env.agents == env.possible_agents
    assert env.state_space.contains(env.state())
    assert env.metadata["name"] == task
    env.close()


def test_numbers_are_those_of_the_batched_environment(task: str) -> None:
    """Through the end of an episode, whose final observations and state come out, and into the one that
    follows."""
    env, batched = as_parallel_env(task, seed=4), envs.make(task, seed=4)
    observations, infos = env.reset()
    obs, state = batched.reset()
    assert infos == {agent: {} for agent in env.possible_agents}
    for environment in (env.environment, batched):
        saved = environment.get_sim_state()
        saved["lengths"] += environment.spec.episode_limit - 8
        environment.set_sim_state(saved)
    random = np.random.default_rng(0)
    episodes = 0
    for _ in range(12):
        assert_array_equal(np.stack([observations[agent] for agent in env.possible_agents]), obs[0])
        assert_array_equal(env.state(), state[0])
        action = random.uniform(-1, 1, (1, batched.spec.n_agents, batched.spec.act_dim)).astype(np.float32)
        result = batched.step(action)
        observations, rewards, terminated, truncated, infos = env.step(by_agent(action[0]))
        for number, agent in enumerate(env.possible_agents):
            assert_array_equal(observations[agent], result.info["final_obs"][0, number])
            assert (rewards[agent], terminated[agent], truncated[agent]) == (
                result.reward[0],
                result.terminated[0],
                result.truncated[0],
            )
            assert infos[agent]["episode_return"] == result.info["episode_return"][0]
            assert infos[agent]["episode_length"] == result.info["episode_length"][0]
            assert infos[agent].get("success") == (
                result.info["success"][0] if "success" in result.info else None
            )
        assert_array_equal(env.state(), result.info["final_state"][0])
        if result.terminated[0] or result.truncated[0]:
            episodes += 1
            assert env.agents == []
            observations, _ = env.reset()
        obs, state = result.obs, result.state
    assert episodes > 0
    env.close()


def test_a_seed_starts_over_and_no_seed_draws_on() -> None:
    env = as_parallel_env("push-mass", seed=1)
    starts = []
    for seed in (7, None, 7, None):
        env.reset(seed)
        starts.append(env.state())
        env.step(by_agent(np.zeros((2, 1))))
    assert_array_equal(starts[0], starts[2])
    assert_array_equal(starts[1], starts[3])
    assert (starts[0] != starts[1]).any()
    assert_array_equal(starts[0], envs.make("push-mass").reset(7)[1][0])


def test_callers_and_world_share_no_memory() -> None:
    env, twin = (as_parallel_env("push-mass") for _ in range(2))
    for one in (env, twin):
        one.reset()
    env.state().fill(9)
    for observed in env.reset(seed=0)[0].values():
        observed.fill(9)
    twin.reset(seed=0)
    for _ in range(3):
        spoiled, clean = env.step(by_agent(np.ones((2, 1)))), twin.step(by_agent(np.ones((2, 1))))
        assert_array_equal(env.state(), twin.state())
        assert spoiled[1:] == clean[1:]
        for agent, observed in clean[0].items():
            assert_array_equal(spoiled[0][agent], observed)
            spoiled[0][agent].fill(9)


def test_pictures_of_the_world_and_of_its_end() -> None:
    env, batched = as_parallel_env("push-mass", render_mode="rgb_array"), envs.make("push-mass")
    env.reset()
    batched.reset()
    push = np.full((1, 2, 1), 0.5, dtype=np.float32)
    for _ in range(50):
        assert_array_equal(env.render(), batched.render())
        env.step(by_agent(push[0]))
        result = batched.step(push)
    assert env.agents == []
    assert_array_equal(env.render(), batched.render_states(result.info["final_state"])[0])
    env.reset()
    assert_array_equal(env.render(), batched.render())
    assert as_parallel_env("push-mass").render() is None


def test_senseless_calls_are_refused() -> None:
    env = as_parallel_env("push-mass")
    still = by_agent(np.zeros((2, 1)))
    with pytest.raises(envs.InvalidArgumentError, match=r"no running episode: call reset\(\)"):
        env.step(still)
    with pytest.raises(envs.InvalidArgumentError, match=r"no state yet: call reset\(\)"):
        env.state()
    env.reset()
    with pytest.raises(envs.InvalidArgumentError, match="one action each for agent_0, agent_1, not agent_0"):
        env.step({"agent_0": np.zeros(1)})
    with pytest.raises(
        envs.InvalidArgumentError,
        match=r"has shape \(1,\), these have {'agent_0': \(1,\), 'agent_1': \(2,\)}",
    ):
        env.step(still | {"agent_1": np.zeros(2)})
    with pytest.raises(envs.InvalidArgumentError, match="this environment has 2"):
        ParallelWorld(envs.make("push-mass", 2))
    with pytest.raises(envs.InvalidArgumentError, match="unknown render mode 'human'"):
        as_parallel_env("push-mass", render_mode="human")
    with pytest.raises(envs.UnknownTaskError):
        as_parallel_env("push-mas")


def test_a_non_finite_action_leaves_the_episode_running_and_a_broken_world_ends_it() -> None:
    env = as_parallel_env("push-mass")
    env.reset()
    with pytest.raises(envs.NonFiniteError, match="action of world 0"):
        env.step(by_agent(np.full((2, 1), np.nan)))
    assert env.agents == env.possible_agents
    saved = env.environment.get_sim_state()
    saved["engine_state"]["worlds"][:] = np.nan
    env.environment.set_sim_state(saved)
    with pytest.raises(envs.NonFiniteError, match="state of world 0"):
        env.step(by_agent(np.zeros((2, 1))))
    assert env.agents == []
    env.reset()
    assert np.isfinite(env.state()).all()


def test_closing_closes_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    env, closed = as_parallel_env("push-mass"), []
    monkeypatch.setattr(env.environment, "close", lambda: closed.append(True))
    env.close()
    assert closed == [True]


@pytest.mark.parametrize("missing", ["pettingzoo", "gymnasium"])
def test_a_missing_library_names_the_extra(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "try: import envs.pettingzoo_adapter\nexcept ValueError as error: print(error)"
    )
    root = Path(envs.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert (
        done.stdout
        == f"the PettingZoo adapter needs {missing}, which is not installed: pip install -e '.[mujoco]'\n"
    )
