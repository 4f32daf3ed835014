"""Layout of the global state: 199 numbers for each hand, the object's pose and velocity, the task's points.

Sizes, order and scales are the original's. The frames of fingertip sensors and Euler angles, and where angles
wrap, are the port's choice: only Isaac Gym could show the original's.
"""

from __future__ import annotations

HANDS = 2
JOINTS = 24
FINGERTIPS = 5
FINGERTIP_STATE = 13
ACTION = 26

HAND_FIELDS: dict[str, int] = {
    "joint_positions": JOINTS,  # the range of each joint to [-1, 1]
    "joint_velocities": JOINTS,
    "joint_forces": JOINTS,
    # each: position, quaternion xyzw, linear and angular velocity
    "fingertips": FINGERTIPS * FINGERTIP_STATE,
    "fingertip_wrenches": FINGERTIPS * 6,  # for each: force and torque in the frame of the fingertip's link
    "palm_point": 3,
    # roll, pitch, yaw of the mount in the world, in (-pi, pi], which the clip at 5 leaves as it is
    "base_euler": 3,
    "last_action": ACTION,
}
OBJECT_FIELDS: dict[str, int] = {
    "object_position": 3,
    "object_quaternion": 4,  # xyzw
    "object_linear_velocity": 3,
    "object_angular_velocity": 3,
}


def slices(fields: dict[str, int], start: int = 0) -> dict[str, slice]:
    """The fields one after the other from `start` on."""
    result = {}
    for name, size in fields.items():
        result[name] = slice(start, start + size)
        start += size
    return result


HAND = slices(HAND_FIELDS)
HAND_DIM = sum(HAND_FIELDS.values())
OBJECT = slices(OBJECT_FIELDS, HANDS * HAND_DIM)
POINTS_START = HANDS * HAND_DIM + sum(OBJECT_FIELDS.values())


def hand_slice(hand: int, field: str) -> slice:
    """A field of the right (0) or left (1) hand in the global state."""
    within = HAND[field]
    return slice(hand * HAND_DIM + within.start, hand * HAND_DIM + within.stop)


def point_slice(point: int) -> slice:
    """The task's point number `point` in the global state."""
    return slice(POINTS_START + 3 * point, POINTS_START + 3 * point + 3)


def state_dim(points: int) -> int:
    """420 with three points, 417 with two."""
    return POINTS_START + 3 * points


def observation_dim(points: int) -> int:
    """What one agent sees: its own hand and all that is not a hand; 221 with three points, 218 with two."""
    return state_dim(points) - (HANDS - 1) * HAND_DIM
