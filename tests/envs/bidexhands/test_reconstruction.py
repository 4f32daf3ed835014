"""States of a rolled-out episode lead back to the positions they were made from."""

from __future__ import annotations

from dataclasses import fields

import mujoco
import numpy as np
import pytest
from numpy.testing import assert_allclose

import envs
from envs.bidexhands.environment import BiDexHands
from envs.bidexhands.observation import global_state
from envs.bidexhands.readings import EngineArrays, find_addresses, read
from envs.bidexhands.reconstruction import qpos_from_states
from envs.bidexhands.tasks import KINDS, Task

MOVED = {  # joints of the object, put somewhere at the start
    "bottle-cap": {"cap_slide": 0.03},
    "door-open-inward": {"right_leaf": 0.5, "left_leaf": 0.3},
    "door-open-outward": {"right_leaf": 0.2, "left_leaf": 0.3},
    "pen": {"cap_slide": 0.1},
}


def rolled(task: str, steps: int = 30) -> tuple[BiDexHands, np.ndarray, np.ndarray]:
    """States and positions of an episode with everything in motion."""
    env = envs.make(task)
    assert isinstance(env, BiDexHands)
    states, positions = [env.reset()[1][0]], [env.worlds.data[0].qpos.copy()]
    for joint, place in MOVED[task].items():
        env.worlds.data[0].joint(joint).qpos[0] = place
    random = np.random.default_rng(2)
    drift = random.uniform(-0.5, 0.5, (1, 2, 26))
    for _ in range(steps):
        result = env.step((drift + random.uniform(-0.3, 0.3, (1, 2, 26))).astype(np.float32))
        if result.terminated[0]:
            break
        states.append(result.state[0])
        positions.append(env.worlds.data[0].qpos.copy())
    assert len(states) > 8
    return env, np.array(states), np.array(positions)


@pytest.mark.parametrize("task", KINDS)
def test_states_lead_back_to_where_every_joint_and_body_was(task: str) -> None:
    env, states, positions = rolled(task)
    model = env.worlds.model
    found = qpos_from_states(env.task, model, states)
    free = [joint for joint in range(model.njnt) if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE]
    turns = np.concatenate([np.arange(start + 3, start + 7) for start in model.jnt_qposadr[free]])
    spin = list(model.joint("cap_spin").qposadr) if task == "bottle-cap" else []
    others = np.setdiff1d(np.arange(model.nq), [*turns, *spin])
    assert_allclose(found[:, others], positions[:, others], atol=1e-5)
    one, other = mujoco.MjData(model), mujoco.MjData(model)
    for reconstructed, true in zip(found, positions, strict=True):
        one.qpos[:], other.qpos[:] = reconstructed, true
        mujoco.mj_kinematics(model, one)
        mujoco.mj_kinematics(model, other)
        # Every body's place follows from the angles and from how the bases are turned.
        assert_allclose(one.xpos, other.xpos, atol=1e-3 if task.startswith("door") else 1e-5)


def test_a_predicted_quaternion_need_not_have_norm_1() -> None:
    env, states, _ = rolled("pen", 10)
    exact = qpos_from_states(env.task, env.worlds.model, states)
    states[:, 401:405] *= 1.3
    assert_allclose(qpos_from_states(env.task, env.worlds.model, states), exact, atol=1e-6)


def test_a_door_turns_back_and_forth_through_its_whole_travel() -> None:
    """States made from positions alone, without a step in between."""
    task = Task("door-open-inward", "v1")
    scene = task.build_scene()
    model, addresses = scene.model, find_addresses(scene.model, task.kind.links)
    data = mujoco.MjData(model)
    data.qpos[:] = scene.reset_positions
    angles = np.linspace(-0.02, np.pi / 2 + 0.02, 9)
    states = []
    for angle in angles:
        data.joint("right_leaf").qpos[0] = angle
        mujoco.mj_forward(model, data)
        names = [entry.name for entry in fields(EngineArrays) if entry.name != "wrenches"]
        arrays = EngineArrays(
            **{name: getattr(data, name)[None] for name in names}, wrenches=np.zeros((1, 2, 5, 6))
        )
        readings = read(arrays, addresses)
        states.append(
            global_state(readings, task.points(readings), np.zeros((1, 2, 26)), task.constants.observation)[0]
        )
    found = qpos_from_states(task, model, np.array(states))
    assert_allclose(found[:, model.joint("right_leaf").qposadr[0]], angles, atol=1e-9)
    assert_allclose(found[:, model.joint("left_leaf").qposadr[0]], 0, atol=1e-9)
