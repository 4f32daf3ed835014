"""Whole episodes: how they start, go wrong, succeed and end, and that neither threads nor a broken world
change the others."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import envs
from envs.bidexhands.environment import BiDexHands
from envs.bidexhands.hand import named
from envs.bidexhands.layout import hand_slice, point_slice
from envs.bidexhands.observation import fingertip_points, palm_points
from envs.bidexhands.tasks import KINDS

TASKS = tuple(KINDS)
UP = 2


def made(task: str, num_envs: int = 1, preset: str = "v1") -> BiDexHands:
    env = envs.make(task, num_envs, preset=preset)
    assert isinstance(env, BiDexHands)
    env.reset()
    return env


def reach(env: BiDexHands, hand: int, point: int) -> float:
    readings = env.readings()
    target = env.task.points(readings)[0, point]
    return float(
        np.linalg.norm(
            fingertip_points(readings, env.task.constants.observation)[0, hand] - target, axis=-1
        ).sum()
    )


def zeros(env: BiDexHands) -> np.ndarray:
    return np.zeros((env.num_envs, 2, 26), dtype=np.float32)


@pytest.mark.parametrize(
    ("task", "preset", "right", "left", "reward"),
    [
        ("door-open-outward", "v0", (1, 1.040), (0, 1.108), -0.148),
        ("door-open-inward", "v0", (1, 1.080), (0, 1.176), -0.26),
        ("pen", "v0", (0, 1.272), (1, 1.395), 0.0),
        ("bottle-cap", "v0", (1, 0.806), None, 1.146),
        ("door-open-outward", "v1", (1, 1.011), (0, 1.098), -0.109),
        ("door-open-inward", "v1", (1, 1.054), (0, 1.165), -0.219),
        ("pen", "v1", (0, 1.245), (1, 1.382), 0.0),
        ("bottle-cap", "v1", (1, 0.806), None, 1.146),
    ],
)
def test_what_the_original_geometry_gives_at_reset(
    task: str, preset: str, right: tuple[int, float], left: tuple[int, float] | None, reward: float
) -> None:
    env = made(task, preset=preset)
    assert_allclose(reach(env, 0, right[0]), right[1], atol=0.01)
    if left is not None:
        assert_allclose(reach(env, 1, left[0]), left[1], atol=0.01)
    readings = env.readings()
    outcome = env.task.outcome(readings, env.task.points(readings))
    assert_allclose(outcome.reward, reward, atol=0.01)
    assert not outcome.failure[0]
    assert not outcome.success[0]


@pytest.mark.parametrize("task", ["door-open-inward", "door-open-outward", "pen"])
def test_version_1_starts_where_version_0_does_once_its_thumbs_are_straight(task: str) -> None:
    bent, straight = made(task, preset="v0"), made(task, preset="v1")
    before, after = (
        fingertip_points(env.readings(), env.task.constants.observation)[0] for env in (bent, straight)
    )
    assert_allclose(after[:, :4], before[:, :4], rtol=0, atol=1e-12)
    assert np.linalg.norm(after[:, 4] - before[:, 4], axis=-1).min() > 0.05
    positions = bent.worlds.data[0].qpos
    for joint in ("THJ4", "THJ3", "THJ0"):
        for side in ("right", "left"):
            positions[bent.worlds.model.joint(named(side, joint)).qposadr[0]] = 0
    assert_array_equal(positions, straight.worlds.data[0].qpos)


def test_where_the_bottle_is_at_reset() -> None:
    env = made("bottle-cap")
    bottle, reference, cap = env.task.points(env.readings())[0]
    left_palm = palm_points(env.readings(), env.task.constants.observation)[0, 1]
    assert_allclose(np.linalg.norm(bottle - left_palm), 0.049, atol=0.001)
    assert_allclose(reference[UP], 0.615, atol=0.001)
    assert_allclose(np.linalg.norm(cap - bottle), 0.0103, atol=0.0001)


def test_closed_doors_and_a_closed_pen_at_reset() -> None:
    for task in ("door-open-inward", "door-open-outward"):
        env = made(task)
        left, right = env.task.points(env.readings())[0]
        assert_allclose(right[1] - left[1], 0.067, atol=0.001)
        # the handles' points are between the door and the hands
        assert 0.02 < right[0] < 0.06
    right, left = made("pen").task.points(made("pen").readings())[0]
    assert_allclose(np.linalg.norm(right - left), 0.17, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_a_reset_is_always_the_same(task: str) -> None:
    env = made(task, 2)
    observed, state = env.reset(seed=3)
    for _ in range(3):
        env.step(np.full((2, 2, 26), 0.3, dtype=np.float32))
    again, later = env.reset(seed=4)
    assert_array_equal(observed, again)
    assert_array_equal(state, later)
    assert_array_equal(state[0], state[1])
    for hand in range(2):
        assert not state[:, hand_slice(hand, "joint_velocities")].any()
        assert not state[:, hand_slice(hand, "last_action")].any()


@pytest.mark.parametrize("task", TASKS)
def test_zero_actions_run_into_the_episode_limit(task: str) -> None:
    env = made(task)
    limit = env.spec.episode_limit
    for step in range(1, limit + 1):
        result = env.step(zeros(env))
        assert not result.terminated[0]
        assert result.truncated[0] == (step == limit)
    assert result.info["episode_length"][0] == limit
    assert not result.info["success"][0]


def test_a_held_bottle_stays_held() -> None:
    """The hand sinks and tilts under the bottle's weight, being held by damping alone, and the bottle stays
    in it."""
    env = made("bottle-cap")
    distances = []
    for _ in range(124):
        assert not env.step(zeros(env)).terminated[0]
        readings = env.readings()
        left_palm = palm_points(readings, env.task.constants.observation)[0, 1]
        distances.append(np.linalg.norm(readings.object_position[0] - left_palm))
    assert max(distances) < 0.08
    assert np.ptp(distances[60:]) < 0.005


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("scale", [0.3, 1.0, 5.0])
def test_random_actions_stay_finite_and_within_the_clip(task: str, scale: float) -> None:
    env = made(task, 4)
    random = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(env.spec.episode_limit):
            result = env.step(random.uniform(-scale, scale, (4, 2, 26)).astype(np.float32))
            assert np.isfinite(result.reward).all()
            assert np.abs(result.info["final_state"]).max() <= 5
    assert [int(warning.number) for data in env.worlds.data for warning in data.warning] == [0] * 4 * len(
        env.worlds.data[0].warning
    )
    assert max(np.abs(data.qvel).max() for data in env.worlds.data) < 100


def test_actions_beyond_1_are_clipped_and_seen_clipped() -> None:
    far, near = made("door-open-outward"), made("door-open-outward")
    action = zeros(far)
    action[0, 0, 2], action[0, 1, 7] = 7.0, -3.0
    one, two = far.step(action), near.step(np.clip(action, -1, 1))
    assert_array_equal(one.state, two.state)
    assert one.state[0, hand_slice(0, "last_action")][2] == 1
    assert one.state[0, hand_slice(1, "last_action")][7] == -1


PUSHES = [  # a hand, an axis and a direction to drive it in until the task has failed
    ("bottle-cap", 1, 2, -1),  # the bottle sinks with the left hand
    ("bottle-cap", 1, 1, 1),  # the left hand leaves the bottle behind
    ("bottle-cap", 0, 1, -1),  # the right hand goes away
    ("door-open-inward", 0, 0, 1),
    ("door-open-inward", 1, 0, 1),
    ("door-open-outward", 0, 0, 1),
    ("door-open-outward", 1, 0, 1),
    ("pen", 0, 0, 1),
    ("pen", 1, 0, 1),
]


@pytest.mark.parametrize(("task", "hand", "axis", "direction"), PUSHES)
def test_a_hand_that_leaves_fails_the_task(task: str, hand: int, axis: int, direction: int) -> None:
    env = made(task)
    action = zeros(env)
    action[0, hand, axis] = direction
    for _ in range(env.spec.episode_limit - 1):
        result = env.step(action)
        if result.terminated[0]:
            break
    assert result.terminated[0]
    assert not result.truncated[0]
    assert result.info["episode_length"][0] > 1
    assert not np.array_equal(result.state, result.info["final_state"])


@pytest.mark.parametrize(("task", "opened"), [("bottle-cap", 0.04), ("pen", 0.2)])
def test_success_stays_until_the_episode_ends(task: str, opened: float) -> None:
    env = made(task, 2)
    assert not env.step(zeros(env)).info["success"].any()
    for place, expected in ((opened, True), (0.0, True)):
        env.worlds.data[1].joint("cap_slide").qpos[0] = place
        env.worlds.data[1].joint("cap_slide").qvel[0] = 0
        result = env.step(zeros(env))
        readings = env.readings()
        assert env.task.outcome(readings, env.task.points(readings)).success[1] == (place > 0)
        assert_array_equal(result.info["success"], [False, expected])
    saved = env.get_sim_state()
    env.reset()
    assert not env.step(zeros(env)).info["success"].any()
    env.set_sim_state(saved)
    assert_array_equal(env.step(zeros(env)).info["success"], [False, True])


def test_the_state_moves_with_the_hand_that_is_pushed() -> None:
    """After a step along +y the right palm's point and nothing of the left hand has moved."""
    env = made("door-open-outward")
    before = env.reset()[1][0]
    idle, pushed = made("door-open-outward"), zeros(env)
    pushed[0, 0, 1] = 0.5
    after, still = env.step(pushed).state[0], idle.step(zeros(idle)).state[0]
    assert after[hand_slice(0, "palm_point")][1] > before[hand_slice(0, "palm_point")][1] + 0.005
    assert_array_equal(after[199:411], still[199:411])
    assert_array_equal(after[point_slice(0)], still[point_slice(0)])


@pytest.mark.parametrize("task", ["bottle-cap", "pen"])
def test_threads_change_nothing(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 5, 2, 26)).astype(np.float32)
    states = []
    for cores in ({0}, {0, 1, 2}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: cores, raising=False)
        env = made(task, 5)
        states.append([env.step(action).info["final_state"] for action in actions])
        env.close()
    assert_array_equal(states[0], states[1])


def test_a_broken_world_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env, twin = made("pen", 3), made("pen", 3)
    env.worlds.data[1].joint(named("left", "FFJ2")).qpos[0] = np.nan
    with pytest.raises(envs.NonFiniteError, match="world 1 is not finite at step 1") as caught:
        env.step(zeros(env))
    sound = twin.step(zeros(twin))
    assert caught.value.result is not None
    assert_array_equal(caught.value.result.state[[0, 2]], sound.state[[0, 2]])
    assert_array_equal(caught.value.result.truncated, [False, True, False])
    assert np.isfinite(env.step(zeros(env)).state).all()
    assert list(tmp_path.iterdir()) == []


def test_a_filter_that_makes_errors_of_warnings_does_not_end_the_process() -> None:
    env = made("pen")
    env.worlds.data[0].joint(named("left", "FFJ2")).qpos[0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(envs.NonFiniteError, match="world 0"):
            env.step(zeros(env))


def test_what_an_environment_says_it_is() -> None:
    spec = made("door-open-inward").spec
    engine = spec.engine
    assert engine.startswith("mujoco-")
    assert spec.lineage == f"MuJoCo-DoorOpenInward-v1/gymnasium-robotics-1.4.2/{engine}"
    assert [envs.make(task).spec.lineage.split("/")[0] for task in TASKS] == [
        "MuJoCo-BottleCap-v1", "MuJoCo-DoorOpenInward-v1", "MuJoCo-DoorOpenOutward-v1", "MuJoCo-Pen-v1",
    ]  # fmt: skip
    assert [made("pen", preset=preset).spec.lineage.split("/")[0] for preset in ("v0", "paper")] == [
        "MuJoCo-Pen-v0"
    ] * 2


@pytest.mark.parametrize("task", ["bottle-cap", "door-open-outward"])
def test_a_world_that_explodes_is_broken_even_where_clips_hide_it(task: str) -> None:
    env, twin = envs.make(task, 2), envs.make(task, 2)
    env.reset()
    twin.reset()
    assert isinstance(env, BiDexHands)
    env.worlds.data[1].qvel[-1] = 1e15
    actions = np.zeros((2, 2, 26), dtype=np.float32)
    with pytest.raises(
        envs.NonFiniteError, match="state of world 1 is not finite at step 1 of its episode"
    ) as caught:
        env.step(actions)
    result = caught.value.result
    assert result is not None
    assert_array_equal(result.state[0], twin.step(actions).state[0])
    assert (result.reward[1], result.truncated[1], result.terminated[1]) == (0, True, False)
    assert_array_equal(env.step(actions).state[0], twin.step(actions).state[0])
