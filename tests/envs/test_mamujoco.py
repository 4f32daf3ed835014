"""MAMuJoCo's agents and observations against tables and numbers worked out by hand, and what a broken world
does to the others."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

import threading
import warnings
from importlib.metadata import version
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
from mujoco.batch import SimulationError
from numpy.testing import assert_allclose, assert_array_equal

import envs
from envs import mujoco_process
from envs.mamujoco import MultiAgentMujoco, environment, robots
from envs.mamujoco.observations import feature_zscore
from envs.mujoco_process import as_python_warnings

TASKS = [task for task, entry in envs.TASKS.items() if entry.suite == "mamujoco"]
RIGHT, LEFT = "thigh_joint leg_joint foot_joint", "thigh_left_joint leg_left_joint foot_left_joint"
JOINTS = {  # the joints that each agent drives, in the order of its action
    ("ant-2x4", "paper"): ["hip_4 ankle_4 hip_1 ankle_1", "hip_2 ankle_2 hip_3 ankle_3"],
    ("ant-4x2", "paper"): ["hip_4 ankle_4", "hip_1 ankle_1", "hip_2 ankle_2", "hip_3 ankle_3"],
    ("halfcheetah-2x3", "paper"): ["bthigh bshin bfoot", "fthigh fshin ffoot"],
    ("halfcheetah-3x2", "paper"): ["bthigh bshin", "bfoot fthigh", "fshin ffoot"],
    ("halfcheetah-6x1", "paper"): ["bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"],
    ("walker2d-2x3", "paper"): [RIGHT, LEFT],
    ("walker2d-3x2", "paper"): [
        "thigh_joint leg_joint",
        "foot_joint thigh_left_joint",
        "leg_left_joint foot_left_joint",
    ],
    ("ant-2x4", "gymnasium-robotics"): ["hip_1 ankle_1 hip_2 ankle_2", "hip_3 ankle_3 hip_4 ankle_4"],
    ("ant-4x2", "gymnasium-robotics"): ["hip_1 ankle_1", "hip_2 ankle_2", "hip_3 ankle_3", "hip_4 ankle_4"],
    ("halfcheetah-2x3", "gymnasium-robotics"): ["bthigh bshin bfoot", "fthigh fshin ffoot"],
    ("halfcheetah-3x2", "gymnasium-robotics"): ["bfoot bshin", "bthigh ffoot", "fshin fthigh"],
    ("halfcheetah-6x1", "gymnasium-robotics"): ["bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"],
    ("walker2d-2x3", "gymnasium-robotics"): [
        "foot_joint leg_joint thigh_joint",
        "foot_left_joint leg_left_joint thigh_left_joint",
    ],
    ("walker2d-3x2", "gymnasium-robotics"): [
        "foot_joint leg_joint",
        "thigh_joint foot_left_joint",
        "leg_left_joint thigh_left_joint",
    ],
}


@pytest.fixture(autouse=True)
def _scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo appends its warnings to a file in the working folder."""
    monkeypatch.chdir(tmp_path)


def make(task: str, num_envs: int = 1, seed: int = 0, preset: str = "paper") -> MultiAgentMujoco:
    env = envs.make(task, num_envs, seed, preset)
    assert isinstance(env, MultiAgentMujoco)
    return env


def uniform_actions(env: envs.BatchedEnvironment, steps: int, bound: float = 1.0) -> np.ndarray:
    shape = (steps, env.num_envs, env.spec.n_agents, env.spec.act_dim)
    return np.random.default_rng(0).uniform(-bound, bound, shape).astype(np.float32)


@pytest.mark.parametrize(("task", "preset"), JOINTS)
def test_each_agent_drives_its_own_joints(task: str, preset: str) -> None:
    env = make(task, preset=preset)
    env.reset()
    model, data = env.robots.model, mujoco.MjData(env.robots.model)
    names = [model.joint(joint).name for joint in model.actuator_trnid[:, 0]]
    expected = [agent.split() for agent in JOINTS[task, preset]]
    assert sorted(sum(expected, [])) == sorted(names)
    action = np.linspace(-0.75, 1, env.spec.n_agents * env.spec.act_dim, dtype=np.float32)
    env.step(action.reshape(1, env.spec.n_agents, -1))
    mujoco.mj_setState(
        model,
        data,
        env.get_sim_state()["engine_state"]["integration"][0],
        mujoco.mjtState.mjSTATE_INTEGRATION,
    )
    assert dict(zip(names, data.ctrl, strict=True)) == dict(
        zip(sum(expected, []), action.tolist(), strict=True)
    )


@pytest.mark.parametrize("task", TASKS)
def test_the_state_can_be_read_from_any_agents_observation(task: str) -> None:
    """sigma = 1 / (z_hot - z_cold) and mu = -sigma z_cold, in the float32 that agents are given."""
    env = make(task, 4, seed=1)
    n, size = env.spec.n_agents, env.spec.state_dim
    steps = [env.reset(), *((result.obs, result.state) for result in map(env.step, uniform_actions(env, 30)))]
    for obs, state in steps:
        for agent in range(n):
            seen = obs[:, agent].astype(np.float64)
            cold = seen[:, size + (agent + 1) % n, None]
            sigma = 1 / (seen[:, size + agent, None] - cold)
            assert_allclose((seen[:, :size] - cold) * sigma, state, rtol=0, atol=1e-5)


def test_the_layout_of_the_actions_in_memory_changes_nothing() -> None:
    env, twin = make("ant-2x4", 3), make("ant-2x4", 3)
    env.reset()
    twin.reset()
    for action in uniform_actions(env, 60):
        worlds_innermost = action.reshape(3, 8).T.copy().T.reshape(3, 2, 4)
        assert worlds_innermost.strides[0] == 4
        result, same = env.step(action), twin.step(worlds_innermost)
        assert_array_equal(result.info["episode_return"], same.info["episode_return"])


def test_observations_by_hand() -> None:
    env = make("halfcheetah-3x2", 2, seed=5)
    env.reset()
    result = env.step(np.full((2, 3, 2), 0.5, dtype=np.float32))
    for world in range(2):
        for agent in range(3):
            vector = np.concatenate(
                [result.state[world].astype(np.float64), [agent == 0, agent == 1, agent == 2]]
            )
            deviation = np.sqrt(((vector - vector.sum() / 20) ** 2).sum() / 20)
            assert_allclose(
                result.obs[world, agent], (vector - vector.sum() / 20) / deviation, rtol=0, atol=1e-5
            )


def test_zscore_of_a_resting_robot() -> None:
    # x holds one 1 among 19 numbers: mean 1/19, deviation sqrt(18)/19
    expected = np.full((1, 2, 19), -1 / np.sqrt(18))
    expected[0, 0, 17] = expected[0, 1, 18] = np.sqrt(18)
    assert_allclose(feature_zscore(np.zeros((1, 17)), 2), expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("task", "rules"),
    [("halfcheetah-2x3", "HalfCheetah-v5"), ("ant-2x4", "Ant-v4"), ("walker2d-2x3", "Walker2d-v4")],
)
def test_engine_and_lineage_name_the_versions(task: str, rules: str) -> None:
    spec = make(task).spec
    assert spec.engine == f"mujoco-{mujoco.__version__}"
    assert spec.lineage == f"gymnasium-{gymnasium.__version__}/{rules}/mujoco-{mujoco.__version__}"


def test_the_lineage_of_the_other_preset_names_its_package() -> None:
    spec = make("ant-2x4", preset="gymnasium-robotics").spec
    package = f"gymnasium-robotics-{version('gymnasium-robotics')}/mamujoco_v1"
    assert spec.lineage == f"{package}/gymnasium-{gymnasium.__version__}/Ant-v5/mujoco-{mujoco.__version__}"


@pytest.mark.parametrize("task", ["ant-2x4", "walker2d-2x3"])
def test_an_episode_that_lasts_is_truncated_at_gymnasiums_limit(task: str) -> None:
    env = make(task, 2)
    assert gymnasium.spec(env.robots.body.robot).max_episode_steps == environment.EPISODE_LIMIT == 1000
    env.reset()
    saved = env.get_sim_state()
    saved["lengths"][1] = 998
    env.set_sim_state(saved)
    results = [
        env.step(np.zeros((2, env.spec.n_agents, env.spec.act_dim), dtype=np.float32)) for _ in range(2)
    ]
    assert_array_equal([result.truncated for result in results], [[False, False], [False, True]])
    assert not results[1].terminated.any()


def with_threads(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(robots, "WORLDS_PER_THREAD", 1)
    monkeypatch.setattr(
        mujoco_process.os, "sched_getaffinity", lambda process: set(range(threads)), raising=False
    )


@pytest.mark.parametrize("task", ["ant-2x4", "halfcheetah-6x1"])
@pytest.mark.parametrize("preset", ["paper", "gymnasium-robotics"])
def test_the_number_of_threads_changes_nothing(
    task: str, preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = make(task, 5, preset=preset)
    with_threads(monkeypatch, 3)
    threaded = make(task, 5, preset=preset)
    assert (alone.robots._batch.nthread, threaded.robots._batch.nthread) == (1, 3)
    assert_array_equal(alone.reset()[1], threaded.reset()[1])
    for action in uniform_actions(alone, 150):
        one, three = alone.step(action), threaded.step(action)
        assert_array_equal(one.obs, three.obs)
        assert_array_equal(one.info["final_state"], three.info["final_state"])
        assert_array_equal(one.info["episode_return"], three.info["episode_return"])


@pytest.mark.parametrize(
    ("worlds", "processors", "threads"),
    [(1, 8, 1), (10, 8, 1), (63, 8, 1), (64, 8, 2), (1024, 8, 8), (1024, 1, 1)],
)
def test_threads_are_for_many_worlds(
    worlds: int, processors: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        mujoco_process.os, "sched_getaffinity", lambda process: set(range(processors)), raising=False
    )
    assert robots._threads(worlds) == threads


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.filterwarnings("ignore:Nan, Inf or huge value:RuntimeWarning")
@pytest.mark.parametrize(
    ("task", "preset"),
    [
        ("halfcheetah-2x3", "paper"),
        ("walker2d-3x2", "paper"),
        ("ant-2x4", "paper"),
        ("ant-4x2", "gymnasium-robotics"),
    ],
)
def test_a_broken_world_is_named_and_the_others_live_on(
    task: str, preset: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_threads(monkeypatch, threads)
    env, twin, second = (
        make(task, 3, preset=preset),
        make(task, 3, preset=preset),
        make(task, 3, preset=preset),
    )
    for other in (env, twin, second, second):  # the broken world goes on like one that was reset twice
        other.reset()
    actions = uniform_actions(env, 30)
    env.step(actions[0])
    twin.step(actions[0])
    saved = env.get_sim_state()
    saved["engine_state"]["integration"][1] = np.nan
    env.set_sim_state(saved)
    with pytest.raises(
        envs.NonFiniteError, match="state of world 1 is not finite at step 2 of its episode"
    ) as caught:
        env.step(actions[1])
    assert (caught.value.world, caught.value.step) == (1, 2)
    result, undisturbed = caught.value.result, twin.step(actions[1])
    assert_array_equal(result.state[[0, 2]], undisturbed.state[[0, 2]])
    assert_array_equal(result.reward[[0, 2]], undisturbed.reward[[0, 2]])
    assert_array_equal(result.truncated, [False, True, False])
    assert result.reward[1] == 0
    for action in actions[2:]:
        result, undisturbed, restarted = env.step(action), twin.step(action), second.step(action)
        for name in ("obs", "state", "reward", "terminated"):
            expected = getattr(undisturbed, name).copy()
            expected[1] = getattr(restarted, name)[1]
            assert_array_equal(getattr(result, name), expected, err_msg=name)
        assert result.info["episode_return"][1] == restarted.info["episode_return"][1]


def test_a_world_in_which_the_simulator_gives_up_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    env, twin = make("halfcheetah-2x3", 3), make("halfcheetah-2x3", 3)
    env.reset()
    twin.reset()
    simulate = env.robots._batch.step

    def fail(nstep: int) -> None:
        simulate(np.array([0, 2]), nstep)
        raise SimulationError(np.array([1]), "stack overflow")

    actions = uniform_actions(env, 2)
    with monkeypatch.context() as patch:
        patch.setattr(env.robots._batch, "step", fail)
        with pytest.raises(envs.NonFiniteError, match="state of world 1 is not finite at step 1"):
            env.step(actions[0])
    twin.step(actions[0])
    result, undisturbed = env.step(actions[1]), twin.step(actions[1])
    assert_array_equal(result.state[[0, 2]], undisturbed.state[[0, 2]])
    assert_array_equal(result.info["episode_length"], [2, 1, 2])


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_a_reward_that_overflows_is_named() -> None:
    env = make("halfcheetah-2x3", 2)
    env.reset()
    actions = np.zeros((2, 2, 3), dtype=np.float32)
    actions[1] = 1e38
    with pytest.raises(envs.NonFiniteError, match="reward of world 1 is not finite at step 1 of its episode"):
        env.step(actions)


def test_mujocos_profile_is_off_for_the_robots_alone() -> None:
    timer = mujoco_process.TIMER.value
    assert timer
    env = make("halfcheetah-2x3")
    env.reset()
    env.step(np.zeros((1, 2, 3), dtype=np.float32))
    assert env.robots._batch.get_data(0).timer[mujoco.mjtTimer.mjTIMER_STEP].duration == 0
    assert mujoco_process.TIMER.value == timer
    data = mujoco.MjData(env.robots.model)
    mujoco.mj_step(env.robots.model, data)
    assert data.timer[mujoco.mjtTimer.mjTIMER_STEP].duration > 0


def test_mujocos_warnings(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = mujoco.get_mju_user_warning()
    make("halfcheetah-2x3")
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert mujoco.get_mju_user_warning() is before
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with as_python_warnings(dropped="expected"):
            mujoco.get_mju_user_warning()("something else")
            mujoco.get_mju_user_warning()("what was expected")
    assert [str(warning.message) for warning in caught] == ["something else"]


@pytest.mark.filterwarnings("error")
def test_a_warning_made_an_error_is_raised_outside_mujoco(tmp_path: Path) -> None:
    """And a world that breaks leaves no file behind."""
    env = make("walker2d-2x3", 2)
    env.reset()
    env.robots.qvel[1] = np.nan
    with pytest.raises(envs.NonFiniteError, match="world 1 is not finite at step 1"):
        env.step(np.zeros((2, 2, 3), dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


def test_threads_leave_mujocos_process_as_they_found_it() -> None:
    """Environments stepped from several threads at once, and a handler of the user's own."""
    warned: list[str] = []
    before, timer = mujoco.get_mju_user_warning(), mujoco_process.TIMER.value
    mujoco.set_mju_user_warning(warned.append)
    handler = mujoco.get_mju_user_warning()
    try:

        def play(seed: int) -> None:
            env = make("ant-2x4", 2)
            env.reset(seed)
            for _ in range(150):
                env.step(np.zeros((2, 2, 4), dtype=np.float32))

        threads = [threading.Thread(target=play, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mujoco.get_mju_user_warning() is handler
        assert mujoco_process.TIMER.value == timer
        handler("still here")
        assert warned == ["still here"]
    finally:
        mujoco.set_mju_user_warning(before)
