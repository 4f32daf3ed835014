"""MAMuJoCo against gymnasium's own environments, bit for bit, and the agents' observations against numbers worked out by hand."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import envs
from envs import mamujoco
from envs.mamujoco import Body, MultiAgentMujoco, Partition, feature_zscore

TASK = "halfcheetah-2x3"


@pytest.fixture(autouse=True)
def _scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo appends its warnings to a file in the working folder."""
    monkeypatch.chdir(tmp_path)


def integration_state(env: gymnasium.Env) -> np.ndarray:
    model, data = env.unwrapped.model, env.unwrapped.data
    state = np.empty(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION))
    mujoco.mj_getState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
    return state


def test_every_world_is_gymnasiums_own_environment() -> None:
    seed, worlds = 3, 2
    env = envs.make(TASK, worlds, seed=seed)
    _, state = env.reset()
    oracles = [gymnasium.make("HalfCheetah-v5", disable_env_checker=True) for _ in range(worlds)]
    expected = np.stack([oracle.reset(seed=seed * 1000 + world)[0] for world, oracle in enumerate(oracles)])
    assert_array_equal(state, expected.astype(np.float32))
    # Beyond the actuators' range too: the cost counts what the simulator clips.
    actions = np.random.default_rng(0).uniform(-1.5, 1.5, (1010, worlds, 2, 3)).astype(np.float32)
    for step, action in enumerate(actions):
        result = env.step(action)
        for world, oracle in enumerate(oracles):
            successor, reward, terminated, truncated, _ = oracle.step(action[world].reshape(6))
            assert_array_equal(result.info["final_state"][world], successor.astype(np.float32))
            assert result.reward[world] == np.float32(reward)
            assert (result.terminated[world], result.truncated[world]) == (terminated, truncated) == (False, step == 999)
            if truncated:
                successor, _ = oracle.reset()
            assert_array_equal(result.state[world], successor.astype(np.float32))
    simulated = env.get_sim_state()["engine_state"]["integration"]
    assert_array_equal(simulated, np.stack([integration_state(oracle) for oracle in oracles]))


def test_the_partition_covers_the_robot() -> None:
    robot = gymnasium.make("HalfCheetah-v5")
    assert gymnasium.spec("HalfCheetah-v5").max_episode_steps == mamujoco.EPISODE_LIMIT
    assert robot.action_space.shape == (2 * 3,)
    assert robot.observation_space.shape == (17,)


@pytest.mark.parametrize(("agent", "joints"), [(0, ["bthigh", "bshin", "bfoot"]), (1, ["fthigh", "fshin", "ffoot"])])
def test_an_agent_drives_its_own_leg(agent: int, joints: list[str]) -> None:
    env = envs.make(TASK)
    env.reset()
    actions = np.zeros((1, 2, 3), dtype=np.float32)
    actions[0, agent] = [0.25, 0.5, -0.75]
    env.step(actions)
    robot = gymnasium.make("HalfCheetah-v5").unwrapped
    mujoco.mj_setState(
        robot.model,
        robot.data,
        env.get_sim_state()["engine_state"]["integration"][0],
        mujoco.mjtState.mjSTATE_INTEGRATION,
    )
    controls = {joint: robot.data.actuator(joint).ctrl[0] for joint in ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")}
    assert controls == dict.fromkeys(controls, 0.0) | dict(zip(joints, [0.25, 0.5, -0.75], strict=True))


def test_observations_by_hand() -> None:
    env = envs.make(TASK, 2, seed=5)
    env.reset()
    result = env.step(np.full((2, 2, 3), 0.5, dtype=np.float32))
    for world in range(2):
        for agent in range(2):
            vector = np.concatenate([result.state[world].astype(np.float64), [agent == 0, agent == 1]])
            deviation = np.sqrt(((vector - vector.sum() / 19) ** 2).sum() / 19)
            assert_allclose(result.obs[world, agent], (vector - vector.sum() / 19) / deviation, rtol=0, atol=1e-5)


def test_zscore_of_a_resting_robot() -> None:
    # x holds one 1 among 19 numbers: mean 1/19, deviation sqrt(18)/19
    expected = np.full((1, 2, 19), -1 / np.sqrt(18))
    expected[0, 0, 17] = expected[0, 1, 18] = np.sqrt(18)
    assert_allclose(feature_zscore(np.zeros((1, 17)), 2), expected, rtol=1e-14)


def test_zscore_can_be_undone_with_the_agents_id() -> None:
    state = np.random.default_rng(0).normal(0, 5, (7, 17))
    for n_agents in (2, 3, 6):
        for agent, observed in enumerate(feature_zscore(state, n_agents).swapaxes(0, 1)):
            hot, cold = observed[:, 17 + agent, None], observed[:, 17 + (agent + 1) % n_agents, None]
            assert_allclose((observed[:, :17] - cold) / (hot - cold), state, rtol=1e-10)


def test_engine_and_lineage_name_the_versions() -> None:
    spec = envs.make(TASK).spec
    assert spec.engine == f"mujoco-{mujoco.__version__}"
    assert spec.lineage == f"gymnasium-{gymnasium.__version__}/HalfCheetah-v5/mujoco-{mujoco.__version__}"


def test_a_broken_world_is_named_and_the_others_live_on() -> None:
    env, twin = envs.make(TASK, 3), envs.make(TASK, 3)
    twin.reset()
    env.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (30, 3, 2, 3)).astype(np.float32)
    env.step(actions[0])
    twin.step(actions[0])
    saved = env.get_sim_state()
    saved["engine_state"]["integration"][1] = np.nan
    env.set_sim_state(saved)
    with pytest.raises(envs.NonFiniteError, match="state of world 1 is not finite at step 2 of its episode") as caught:
        env.step(actions[1])
    assert (caught.value.world, caught.value.step) == (1, 2)
    result, undisturbed = caught.value.result, twin.step(actions[1])
    assert_array_equal(result.state[[0, 2]], undisturbed.state[[0, 2]])
    assert_array_equal(result.truncated, [False, True, False])
    assert result.reward[1] == 0
    for step, action in enumerate(actions[2:], start=1):
        result, undisturbed = env.step(action), twin.step(action)
        assert_array_equal(result.state[[0, 2]], undisturbed.state[[0, 2]])
        assert np.isfinite(result.state[1]).all()
        assert_array_equal(result.info["episode_length"], [2 + step, step, 2 + step])


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_a_reward_that_overflows_is_named() -> None:
    env = envs.make(TASK, 2)
    env.reset()
    actions = np.zeros((2, 2, 3), dtype=np.float32)
    actions[1] = 1e38
    with pytest.raises(envs.NonFiniteError, match="reward of world 1 is not finite at step 1 of its episode"):
        env.step(actions)


def test_mujocos_warnings(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = mujoco.get_mju_user_warning()
    envs.make(TASK)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert mujoco.get_mju_user_warning() is before
    with mamujoco._settotalmass_silenced(), pytest.warns(RuntimeWarning, match="something else"):
        mujoco.get_mju_user_warning()("something else")


ANT = Body(
    "Ant-v5",
    state_dim=111,
    arguments={"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0},
    terminal_reward=1.0,
)
WALKER = Body("Walker2d-v5", state_dim=17, arguments={"xml_file": "walker2d.xml"}, terminal_reward=1.0)


@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
@pytest.mark.parametrize(
    ("partition", "older"),
    [(Partition(ANT, n_agents=4, act_dim=2), "Ant-v4"), (Partition(WALKER, n_agents=3, act_dim=2), "Walker2d-v4")],
)
def test_another_robot_is_a_table_entry(partition: Partition, older: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gymnasium's v4, which keeps v2's rewards, is the oracle; a save in mid-episode resumes with the derived positions."""
    monkeypatch.setitem(mamujoco.PARTITIONS, "another", partition)
    env = MultiAgentMujoco("another", 1, 0, "paper")
    oracle = gymnasium.make(older, disable_env_checker=True)
    _, state = env.reset()
    expected, _ = oracle.reset(seed=0)
    actions = np.random.default_rng(1).uniform(-1, 1, (300, 1, partition.n_agents, partition.act_dim)).astype(np.float32)
    terminations = 0
    for step, action in enumerate(actions):
        if step % 7 == 3:
            saved: dict[str, Any] = env.get_sim_state()
            env.close()
            env = MultiAgentMujoco("another", 1, 99, "paper")
            env.set_sim_state(saved)
        result = env.step(action)
        expected, reward, terminated, truncated, _ = oracle.step(action.reshape(-1))
        assert_array_equal(result.info["final_state"][0, : expected.size], expected.astype(np.float32))
        assert not result.info["final_state"][0, expected.size :].any()
        assert result.reward[0] == np.float32(reward)
        assert (result.terminated[0], result.truncated[0]) == (terminated, truncated)
        if terminated:
            terminations += 1
            expected, _ = oracle.reset()
        assert_array_equal(result.state[0, : expected.size], expected.astype(np.float32))
    assert terminations > 0
