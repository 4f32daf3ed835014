"""States back to positions and velocities, against gymnasium's own robots."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.mujoco import MujocoEnv
from numpy.testing import assert_allclose, assert_array_equal

from envs.mamujoco.reconstruction import reconstruct


@dataclass(frozen=True)
class Case:
    """A robot, how many root coordinates its state leaves out, and how far off (m) the integrated root may be
    after 15 steps."""

    env_id: str
    root: int
    root_error: float
    arguments: dict[str, Any] = field(default_factory=dict)


CASES = [
    Case("Ant-v5", 2, 0.035, {"include_cfrc_ext_in_observation": False}),
    Case("HalfCheetah-v5", 1, 0.015),
    Case("Walker2d-v5", 1, 0.0004),
]


@pytest.fixture(params=CASES, ids=lambda case: case.env_id)
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.chdir(tmp_path)  # MuJoCo appends its warnings to a file in the working folder
    return request.param


def robot_of(case: Case) -> MujocoEnv:
    return cast(MujocoEnv, gymnasium.make(case.env_id, disable_env_checker=True, **case.arguments).unwrapped)


def roll(
    case: Case, steps: int, seed: int, amplitude: float
) -> tuple[MujocoEnv, np.ndarray, np.ndarray, np.ndarray]:
    """States, positions and velocities of `steps` consecutive moments, the reset left out: there the
    quaternion is not of length 1."""
    robot = robot_of(case)
    robot.reset(seed=seed)
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(steps):
        state = robot.step(random.uniform(-amplitude, amplitude, robot.model.nu))[0]
        rows.append((state, robot.data.qpos.copy(), robot.data.qvel.copy()))
    states, positions, velocities = (np.stack(column) for column in zip(*rows, strict=True))
    return robot, states, positions, velocities


@pytest.mark.parametrize("seed", range(3))
def test_the_robot_in_the_reconstructed_place_is_observed_as_the_state(case: Case, seed: int) -> None:
    robot, states, positions, velocities = roll(case, 30, seed, amplitude=1.0)
    found_positions, found_velocities = reconstruct(robot.model, states, robot.dt)
    assert_allclose(found_positions[:, case.root :], positions[:, case.root :], rtol=0, atol=1e-12)
    clipped = np.clip(velocities, -10, 10) if case.env_id == "Walker2d-v5" else velocities
    assert_array_equal(found_velocities, clipped)
    for state, position, velocity in zip(states, found_positions, found_velocities, strict=True):
        robot.set_state(position, velocity)
        assert_allclose(cast(Any, robot)._get_obs(), state, rtol=0, atol=1e-12)


def test_the_integrated_root_stays_near_the_true_one(case: Case) -> None:
    """Over 20 seeds, actions in +-0.3: the largest errors were 0.030, 0.0141 and 0.00032 m, where the roots
    moved 0.47, 0.16 and 0.08 m."""
    errors, distances = [], []
    for seed in range(5):
        robot, states, positions, _ = roll(case, 16, seed, amplitude=0.3)
        found, _ = reconstruct(robot.model, states, robot.dt)
        assert_array_equal(found[0, : case.root], np.zeros(case.root))
        travelled = positions[:, : case.root] - positions[0, : case.root]
        errors.append(np.abs(found[:, : case.root] - travelled).max())
        distances.append(np.abs(travelled).max())
    assert max(errors) < case.root_error
    assert np.mean(errors) < 0.15 * np.mean(distances)


def test_the_root_by_hand(case: Case) -> None:
    """Speeds of 1, 2 and 4 m/s, 0.1 s apart: 0, 0.15 and 0.45 m."""
    robot = robot_of(case)
    states = np.zeros((3, robot.model.nq + robot.model.nv - case.root))
    states[:, robot.model.nq - case.root] = [1, 2, 4]
    positions, _ = reconstruct(robot.model, states, 0.1)
    assert_allclose(positions[:, 0], [0, 0.15, 0.45], rtol=1e-15)
    assert_array_equal(positions[:, 1 : case.root], np.zeros((3, case.root - 1)))


def test_a_predicted_quaternion_is_scaled_to_length_1_and_the_state_left_alone() -> None:
    robot = robot_of(CASES[0])
    states = np.zeros((2, 111), dtype=np.float32)
    states[:, 0] = 0.7
    states[0, 1:5] = [0.9, 0, 0, 1.2]
    given = states.copy()
    positions, velocities = reconstruct(robot.model, states, robot.dt)
    assert_allclose(positions[0, 2:7], [0.7, 0.6, 0, 0, 0.8], rtol=0, atol=1e-7)
    assert_array_equal(positions[1, 3:7], [1, 0, 0, 0])  # of no length: upright
    assert velocities.shape == (2, 14)
    assert_array_equal(states, given)
