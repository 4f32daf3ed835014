"""The global state from readings, and each agent's part of it; the same for NumPy and torch."""

from __future__ import annotations

from jaxtyping import Float

from envs.bidexhands.arrays import Array, constant, euler_xyz, namespace, rotate, xyzw
from envs.bidexhands.constants import Observation
from envs.bidexhands.layout import HAND_DIM, HANDS
from envs.bidexhands.readings import Readings


def global_state(
    readings: Readings,
    points: Float[Array, "batch points 3"],
    actions: Float[Array, "batch hands action"],
    constants: Observation,
) -> Float[Array, "batch state"]:
    """The state in the order of `layout`, scaled and clipped; `points` are the task's, `actions` the last."""
    xp = namespace(readings.joint_positions)
    lower, upper = readings.joint_ranges[..., 0], readings.joint_ranges[..., 1]
    fingertips = xp.concat(
        [
            readings.fingertip_positions,
            xyzw(readings.fingertip_quaternions),
            readings.fingertip_linear_velocities,
            readings.fingertip_angular_velocities,
        ],
        axis=-1,
    )
    hands = xp.concat(
        [
            (2 * readings.joint_positions - upper - lower) / (upper - lower),
            readings.joint_velocities * constants.joint_velocity_scale,
            readings.joint_forces * constants.force_scale,
            _flat(fingertips),
            _flat(readings.fingertip_wrenches * constants.force_scale),
            palm_points(readings, constants),
            euler_xyz(readings.mount_quaternions),
            actions,
        ],
        axis=-1,
    )
    parts = [
        hands.reshape(hands.shape[0], -1),
        readings.object_position,
        xyzw(readings.object_quaternion),
        readings.object_linear_velocity,
        readings.object_angular_velocity * constants.object_spin_scale,
        points.reshape(points.shape[0], -1),
    ]
    return xp.clip(xp.concat(parts, axis=-1), -constants.clip, constants.clip)


def agent_observations(state: Float[Array, "batch state"]) -> Float[Array, "batch hands observation"]:
    """For each agent its own hand, then everything but the hands."""
    xp = namespace(state)
    rest = state[:, HANDS * HAND_DIM :]
    views = [
        xp.concat([state[:, hand * HAND_DIM : (hand + 1) * HAND_DIM], rest], axis=-1) for hand in range(HANDS)
    ]
    return xp.stack(views, axis=1)


def palm_points(readings: Readings, constants: Observation) -> Float[Array, "batch hands 3"]:
    """The point over each palm that represents the hand."""
    offset = constant(constants.palm_point, readings.palm_positions)
    return readings.palm_positions + rotate(readings.palm_quaternions, offset)


def fingertip_points(readings: Readings, constants: Observation) -> Float[Array, "batch hands fingers 3"]:
    """The points in the fingertips that rewards measure from."""
    offset = constant(constants.fingertip_point, readings.fingertip_positions)
    return readings.fingertip_positions + rotate(readings.fingertip_quaternions, offset)


def _flat(values: Float[Array, "batch hands fingers numbers"]) -> Float[Array, "batch hands all"]:
    return values.reshape(*values.shape[:2], -1)
