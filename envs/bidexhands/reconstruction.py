"""From global states back to the positions of a scene, to draw predicted states.

What a state leaves out stays at 0: how far the bottle's cap is turned.
"""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

import mujoco
import numpy as np
from jaxtyping import Float

from envs.bidexhands.arrays import conjugate, constant, rotate
from envs.bidexhands.constants import BottleCap, Door
from envs.bidexhands.hand import JOINTS, named
from envs.bidexhands.layout import OBJECT, hand_slice, point_slice
from envs.bidexhands.objects import LEAF_TO_ROOT
from envs.bidexhands.scene import HANDS, quaternion
from envs.bidexhands.tasks import Task


def qpos_from_states(
    task: Task, model: mujoco.MjModel, states: Float[np.ndarray, "time state"]
) -> Float[np.ndarray, "time positions"]:
    """A row of `qpos` for each state, exact where nothing was clipped; quaternions are scaled to norm 1.

    Args:
        task: with the preset of the states.
        model: the task's own.
        states: in the environment's units; float32 or predicted.
    """
    states = states.astype(np.float64)
    positions = np.tile(model.qpos0, (len(states), 1))
    data = mujoco.MjData(model)
    palm_point = task.constants.observation.palm_point
    for row, state in zip(positions, states, strict=True):
        _set_object(row, state, task, model)
        for hand, name in enumerate(HANDS):
            _set_hand(row, state, hand, name, model)
        data.qpos[:] = row
        mujoco.mj_kinematics(model, data)
        for hand, name in enumerate(HANDS):
            # the palm's place is known, the base's is not: move the base by the palm's error
            palm = data.body(named(name, "palm"))
            seen = palm.xpos + rotate(palm.xquat, constant(palm_point, palm.xpos))
            base = _address(model, f"{name}/base")
            row[base : base + 3] += state[hand_slice(hand, "palm_point")] - seen
    return positions


def _set_hand(
    row: Float[np.ndarray, " positions"],
    state: Float[np.ndarray, " state"],
    hand: int,
    name: str,
    model: mujoco.MjModel,
) -> None:
    """Joint angles from scaled ones, and the base's rotation: its frame is parallel to the mount's."""
    for joint, scaled in zip(JOINTS, state[hand_slice(hand, "joint_positions")], strict=True):
        lower, upper = model.joint(named(name, joint)).range
        row[_address(model, named(name, joint))] = lower + (scaled + 1) / 2 * (upper - lower)
    base = _address(model, f"{name}/base")
    row[base + 3 : base + 7] = quaternion(state[hand_slice(hand, "base_euler")].tolist())


def _set_object(
    row: Float[np.ndarray, " positions"],
    state: Float[np.ndarray, " state"],
    task: Task,
    model: mujoco.MjModel,
) -> None:
    """The object's pose, unless it is a door, and how far its parts have moved, from the task's points."""
    own = task.own
    position = state[OBJECT["object_position"]]
    turn = np.roll(state[OBJECT["object_quaternion"]], 1)
    turn = turn / max(np.linalg.norm(turn), 1e-6)

    def from_root(point: int) -> Float[np.ndarray, " 3"]:
        return rotate(conjugate(turn), state[point_slice(point)] - position)

    if isinstance(own, Door):
        for leaf, point, hinge, side in (
            ("left_leaf", 0, own.left_hinge, -1),
            ("right_leaf", 1, own.right_hinge, 1),
        ):
            row[_address(model, leaf)] = _leaf_angle(from_root(point) - hinge, side, own)
        return
    start = _address(model, "object")
    row[start : start + 3], row[start + 3 : start + 7] = position, turn
    if isinstance(own, BottleCap):
        row[_address(model, "cap_slide")] = from_root(2)[2] - own.cap_link[2]
    else:
        row[_address(model, "cap_slide")] = own.right_point - from_root(0)[2]


def _leaf_angle(handle: Float[np.ndarray, " 3"], side: int, door: Door) -> float:
    """The angle about the hinge from the handle on a closed leaf to `handle`, positive as the leaf opens."""
    across, along, through = door.handle_point
    closed = rotate(np.array(LEAF_TO_ROOT), np.array([side * across, along, through]))
    moved = np.arctan2(handle[1], handle[0]) - np.arctan2(closed[1], closed[0])
    # The root's z is the hinge's axis, about which the right leaf opens clockwise.
    return float((-side * moved + np.pi) % (2 * np.pi) - np.pi)


def _address(model: mujoco.MjModel, joint: str) -> int:
    return int(model.joint(joint).qposadr[0])
