"""The global state slice by slice, against numbers put in and against what MuJoCo says itself."""

from __future__ import annotations

from dataclasses import fields

import mujoco
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

import envs
from envs.bidexhands.arrays import euler_xyz, rotate
from envs.bidexhands.constants import load_constants
from envs.bidexhands.environment import BiDexHands
from envs.bidexhands.hand import FINGERS, JOINTS, named
from envs.bidexhands.layout import HAND_DIM, OBJECT, hand_slice, observation_dim, point_slice, state_dim
from envs.bidexhands.observation import agent_observations, global_state
from envs.bidexhands.presets import constants_file
from envs.bidexhands.readings import EngineArrays, Readings, find_addresses, fingertip_wrenches, read
from envs.bidexhands.tasks import KINDS

MEASURES = load_constants(constants_file("v1")).observation
TASKS = tuple(KINDS)


def made(task: str, num_envs: int = 1) -> BiDexHands:
    env = envs.make(task, num_envs)
    assert isinstance(env, BiDexHands)
    env.reset()
    return env


def shaken(task: str, steps: int = 12) -> BiDexHands:
    """Some way into an episode, everything in motion; the left hand closes, and what it holds it touches."""
    env = made(task)
    random = np.random.default_rng(5)
    for _ in range(steps):
        action = random.uniform(-0.5, 0.5, (1, 2, 26)).astype(np.float32)
        action[:, 1, 6:] = 0.4
        assert not env.step(action).terminated[0]
    return env


def random_readings() -> Readings:
    random = np.random.default_rng(1)
    env = shaken("pen", 3)
    values = {
        entry.name: random.normal(0, 0.3, getattr(env.readings(), entry.name).shape)
        for entry in fields(Readings)
    }
    values["joint_ranges"] = env.readings().joint_ranges
    for name in values:
        if name.endswith(("quaternions", "quaternion")):
            values[name] /= np.linalg.norm(values[name], axis=-1, keepdims=True)
    return Readings(**values)


def test_where_everything_is() -> None:
    starts = {
        "joint_positions": 0, "joint_velocities": 24, "joint_forces": 48, "fingertips": 72,
        "fingertip_wrenches": 137, "palm_point": 167, "base_euler": 170, "last_action": 173,
    }  # fmt: skip
    for field, start in starts.items():
        assert hand_slice(0, field).start == start
        assert hand_slice(1, field).start == 199 + start
    assert (hand_slice(1, "last_action").stop, HAND_DIM) == (398, 199)
    assert [OBJECT[field].start for field in OBJECT] == [398, 401, 405, 408]
    assert [point_slice(point).start for point in range(3)] == [411, 414, 417]
    assert (state_dim(3), state_dim(2), observation_dim(3), observation_dim(2)) == (420, 417, 221, 218)


def test_every_slice_holds_its_reading_scaled() -> None:
    readings = random_readings()
    random = np.random.default_rng(2)
    points, actions = random.normal(0, 1, (1, 2, 3)), random.uniform(-1, 1, (1, 2, 26))
    (state,) = global_state(readings, points, actions, MEASURES)
    assert state.shape == (417,)
    for hand in range(2):
        low, high = readings.joint_ranges[hand].T
        angle = low + (state[hand_slice(hand, "joint_positions")] + 1) / 2 * (high - low)
        expected = np.clip((2 * readings.joint_positions[0, hand] - high - low) / (high - low), -5, 5)
        assert_allclose(state[hand_slice(hand, "joint_positions")], expected)
        inside = np.abs(expected) < 5
        assert_allclose(angle[inside], readings.joint_positions[0, hand][inside])
        assert_allclose(state[hand_slice(hand, "joint_velocities")], 0.2 * readings.joint_velocities[0, hand])
        assert_allclose(
            state[hand_slice(hand, "joint_forces")], np.clip(10 * readings.joint_forces[0, hand], -5, 5)
        )
        tips = state[hand_slice(hand, "fingertips")].reshape(5, 13)
        assert_allclose(tips[:, 0:3], readings.fingertip_positions[0, hand])
        assert_allclose(tips[:, 3:7], readings.fingertip_quaternions[0, hand][:, [1, 2, 3, 0]])
        assert_allclose(tips[:, 7:10], readings.fingertip_linear_velocities[0, hand])
        assert_allclose(tips[:, 10:13], readings.fingertip_angular_velocities[0, hand])
        wrenches = np.clip(10 * readings.fingertip_wrenches[0, hand], -5, 5)
        assert_allclose(state[hand_slice(hand, "fingertip_wrenches")].reshape(5, 6), wrenches)
        palm = Rotation.from_quat(readings.palm_quaternions[0, hand], scalar_first=True)
        assert_allclose(
            state[hand_slice(hand, "palm_point")],
            readings.palm_positions[0, hand] + palm.apply((0, -0.02, 0.08)),
        )
        mount = Rotation.from_quat(readings.mount_quaternions[0, hand], scalar_first=True)
        assert_allclose(state[hand_slice(hand, "base_euler")], mount.as_euler("xyz"))
        assert_array_equal(state[hand_slice(hand, "last_action")], actions[0, hand])
    assert_allclose(state[OBJECT["object_position"]], readings.object_position[0])
    assert_allclose(state[OBJECT["object_quaternion"]], readings.object_quaternion[0, [1, 2, 3, 0]])
    assert_allclose(state[OBJECT["object_linear_velocity"]], readings.object_linear_velocity[0])
    assert_allclose(state[OBJECT["object_angular_velocity"]], 0.2 * readings.object_angular_velocity[0])
    assert_allclose(state[point_slice(0)], points[0, 0])
    assert_allclose(state[point_slice(1)], points[0, 1])


def test_one_number_at_a_time_ends_up_in_one_place() -> None:
    """The ring finger's J2 of the left hand at 1 rad: its 13th joint, range 0 to 1.571."""
    env = made("door-open-outward")
    data = env.worlds.data[0]
    before = env.readings()
    points, actions = env.task.points(before), np.zeros((1, 2, 26))
    changed = before.joint_positions.copy()
    data.joint(named("left", "RFJ2")).qpos = 1.0
    changed[0, 1, 11] = data.joint(named("left", JOINTS[11])).qpos[0]
    after = Readings(
        **{entry.name: getattr(before, entry.name) for entry in fields(Readings)}
        | {"joint_positions": changed}
    )
    difference = global_state(after, points, actions, MEASURES) - global_state(
        before, points, actions, MEASURES
    )
    assert_array_equal(np.flatnonzero(difference), [199 + 11])
    assert_allclose(difference[0, 199 + 11], 2 / 1.571)


def test_everything_is_clipped_at_5() -> None:
    readings = random_readings()
    far = Readings(
        **{entry.name: getattr(readings, entry.name) for entry in fields(Readings)}
        | {"object_position": np.array([[7.0, -9.0, 1.0]])}
    )
    state = global_state(far, np.full((1, 2, 3), -6.0), np.zeros((1, 2, 26)), MEASURES)
    assert_array_equal(state[0, OBJECT["object_position"]], (5, -5, 1))
    assert_array_equal(state[0, point_slice(1)], (-5, -5, -5))


def test_each_agent_sees_its_own_hand_and_what_is_not_a_hand() -> None:
    state = np.arange(2 * 417.0).reshape(2, 417)
    observations = agent_observations(state)
    assert observations.shape == (2, 2, 218)
    assert_array_equal(observations[1, 0], np.r_[state[1, :199], state[1, 398:]])
    assert_array_equal(observations[1, 1], np.r_[state[1, 199:398], state[1, 398:]])


@pytest.mark.parametrize("task", TASKS)
def test_torch_gives_the_same_state(task: str) -> None:
    env = shaken(task)
    arrays = env.worlds.arrays()
    addresses = find_addresses(env.worlds.model, env.task.kind.links)
    in_torch = EngineArrays(
        **{entry.name: torch.from_numpy(getattr(arrays, entry.name).copy()) for entry in fields(EngineArrays)}
    )
    states = []
    for source, actions in (
        (arrays, np.zeros((1, 2, 26))),
        (in_torch, torch.zeros(1, 2, 26, dtype=torch.float64)),
    ):
        readings = read(source, addresses)
        states.append(global_state(readings, env.task.points(readings), actions, MEASURES))
    assert isinstance(states[1], torch.Tensor)
    assert_allclose(states[1].numpy(), states[0], atol=1e-14)
    assert agent_observations(states[1]).shape == (1, 2, env.spec.obs_dim)


@pytest.mark.parametrize("task", TASKS)
def test_readings_are_what_mujoco_says_of_the_state_after_the_step(task: str) -> None:
    env = shaken(task)
    model, data, readings = env.worlds.model, env.worlds.data[0], env.readings()
    fresh = mujoco.MjData(model)
    fresh.qpos[:], fresh.qvel[:] = data.qpos, data.qvel
    mujoco.mj_forward(model, fresh)
    velocity = np.empty(6)
    for hand, side in enumerate(("right", "left")):
        assert_array_equal(
            readings.joint_positions[0, hand], [fresh.joint(named(side, joint)).qpos[0] for joint in JOINTS]
        )
        assert_array_equal(
            readings.joint_velocities[0, hand], [fresh.joint(named(side, joint)).qvel[0] for joint in JOINTS]
        )
        for finger, name in enumerate(FINGERS):
            body = fresh.body(named(side, f"{name}distal"))
            mujoco.mj_objectVelocity(model, fresh, mujoco.mjtObj.mjOBJ_XBODY, body.id, velocity, 0)
            assert_allclose(readings.fingertip_positions[0, hand, finger], body.xpos, atol=1e-12)
            assert_allclose(readings.fingertip_angular_velocities[0, hand, finger], velocity[:3], atol=1e-9)
            assert_allclose(readings.fingertip_linear_velocities[0, hand, finger], velocity[3:], atol=1e-9)
        assert_allclose(readings.palm_positions[0, hand], fresh.body(named(side, "palm")).xpos, atol=1e-12)
        assert_allclose(
            readings.mount_quaternions[0, hand], fresh.body(named(side, "hand mount")).xquat, atol=1e-12
        )
    mujoco.mj_objectVelocity(model, fresh, mujoco.mjtObj.mjOBJ_XBODY, fresh.body("object").id, velocity, 0)
    assert_allclose(readings.object_angular_velocity[0], velocity[:3], atol=1e-9)
    assert_allclose(readings.object_linear_velocity[0], velocity[3:], atol=1e-9)
    assert_allclose(
        readings.link_positions[0], [fresh.body(link).xpos for link in env.task.kind.links], atol=1e-12
    )
    assert np.abs(readings.fingertip_linear_velocities).max() > 0.1


def test_joint_forces_are_those_of_actuators_and_constraints_in_the_last_substep() -> None:
    env = shaken("bottle-cap", 30)
    data = env.worlds.data[0]
    for hand, side in enumerate(("right", "left")):
        joints = [data.joint(named(side, joint)) for joint in JOINTS]
        expected = [joint.qfrc_actuator[0] + joint.qfrc_constraint[0] for joint in joints]
        assert_allclose(env.readings().joint_forces[0, hand], expected)
        assert np.abs(expected).max() > 0.01


def summed_contacts(model: mujoco.MjModel, data: mujoco.MjData, fingertips: np.ndarray) -> np.ndarray:
    """What acts on each fingertip's link, contact by contact, in its frame and about its origin."""
    wrenches, force = np.zeros((2, 5, 6)), np.empty(6)
    for index, contact in enumerate(data.contact):
        mujoco.mj_contactForce(model, data, index, force)
        frame = contact.frame.reshape(3, 3)
        for geom, sign in ((contact.geom1, -1), (contact.geom2, 1)):
            for hand, finger in np.argwhere(fingertips == model.geom_bodyid[geom]):
                body = data.body(fingertips[hand, finger])
                push, twist = sign * frame.T @ force[:3], sign * frame.T @ force[3:]
                twist = twist + np.cross(contact.pos - body.xpos, push)
                wrenches[hand, finger] += np.r_[
                    body.xmat.reshape(3, 3).T @ push, body.xmat.reshape(3, 3).T @ twist
                ]
    return wrenches


def test_fingertip_wrenches_are_the_sum_of_the_contacts() -> None:
    env = shaken("bottle-cap", 30)
    model, data = env.worlds.model, env.worlds.data[0]
    mujoco.mj_step(model, data)
    addresses = find_addresses(model, env.task.kind.links)
    wrenches = fingertip_wrenches(data.sensordata[None], data.xpos[None], data.xquat[None], addresses)[0]
    assert (np.abs(wrenches[1]).max(axis=1) > 0.05).sum() >= 2
    assert_allclose(wrenches, summed_contacts(model, data, addresses.fingertips), atol=1e-9)


def test_a_fingertip_on_the_floor_is_pushed_up() -> None:
    """The left hand points down, its middle finger 2 mm into the floor: the push comes from beyond the
    fingertip, along -z."""
    env = made("door-open-outward")
    model, data = env.worlds.model, env.worlds.data[0]
    addresses = find_addresses(model, env.task.kind.links)
    base = data.joint("left/base")
    base.qpos = (0.8, -0.5, 1.0, *Rotation.from_euler("x", 180, degrees=True).as_quat(scalar_first=True))
    mujoco.mj_kinematics(model, data)
    lowest = data.body(named("left", "mfdistal")).xpos[2] - 0.024 - 0.00705
    base.qpos[2] -= lowest + 0.002
    mujoco.mj_forward(model, data)
    wrenches = fingertip_wrenches(data.sensordata[None], data.xpos[None], data.xquat[None], addresses)[0]
    assert wrenches[1, 1, 2] < -1
    assert_allclose(wrenches, summed_contacts(model, data, addresses.fingertips), atol=1e-9)


def test_rotations_against_scipy() -> None:
    turns = Rotation.random(50, rng=3)
    quaternions, vectors = turns.as_quat(scalar_first=True), np.random.default_rng(4).normal(size=(50, 3))
    assert_allclose(rotate(quaternions, vectors), turns.apply(vectors), atol=1e-12)
    assert_allclose(euler_xyz(quaternions), turns.as_euler("xyz"), atol=1e-9)
    assert_allclose(euler_xyz(-quaternions), turns.as_euler("xyz"), atol=1e-9)
