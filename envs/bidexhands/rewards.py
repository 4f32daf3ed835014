"""Rewards, successes and failures of the four tasks, one reward for both hands; the same for NumPy and torch.

Points have the names of the original's formulas; `reach` is the sum of the distances of a hand's five
fingertips.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float

from envs.bidexhands.arrays import Array, constant, namespace, norm, rotate
from envs.bidexhands.constants import BottleCap, Door, Observation, Pen
from envs.bidexhands.observation import fingertip_points, palm_points
from envs.bidexhands.readings import Readings

RIGHT, LEFT = 0, 1


class Outcome(NamedTuple):
    """Reward of a step, and whether the task has failed or is solved right now."""

    reward: Float[Array, " batch"]
    failure: Bool[Array, " batch"]
    success: Bool[Array, " batch"]


def bottle_points(readings: Readings, constants: BottleCap) -> Float[Array, "batch 3 3"]:
    """The bottle, the place of its closed cap on the axis, the cap's link."""
    xp = namespace(readings.object_position)
    bottle, turn = readings.object_position, readings.object_quaternion
    reference = bottle + rotate(turn, constant((0, 0, constants.cap_reference), bottle))
    cap = readings.link_positions[:, 0] + rotate(turn, constant(constants.cap_link, bottle))
    return xp.stack([bottle, reference, cap], axis=1)


def bottle_outcome(
    readings: Readings, points: Float[Array, "batch 3 3"], constants: BottleCap, measures: Observation
) -> Outcome:
    """r = 2 - reach(reference) - |bottle - left palm| + (30 |cap - bottle| if reach <= 0.3)."""
    xp = namespace(points)
    bottle, reference, cap = points[:, 0], points[:, 1], points[:, 2]
    palms = palm_points(readings, measures)
    reach = _reach(readings, RIGHT, reference, measures)
    lift = norm(cap - bottle)
    held = norm(bottle - palms[:, LEFT])
    bonus = xp.where(reach <= constants.lift_within, constants.lift_gain * lift, 0 * lift)
    failure = (
        (reference[:, 2] <= constants.failure_height)
        | (norm(reference - palms[:, RIGHT]) >= constants.failure_right_distance)
        | (held >= constants.failure_left_distance)
    )
    return Outcome(constants.reward_offset - reach - held + bonus, failure, lift > constants.success_distance)


def door_points(readings: Readings, constants: Door) -> Float[Array, "batch 2 3"]:
    """The left handle and the right one, on the side of the door that faces the hands."""
    xp = namespace(readings.link_positions)
    across, along, through = constants.handle_point
    handles = []
    for link, side in ((LEFT, -1), (RIGHT, 1)):
        offset = constant((side * across, along, through), readings.link_positions)
        handles.append(readings.link_positions[:, link] + rotate(readings.link_quaternions[:, link], offset))
    return xp.stack(handles, axis=1)


def door_outcome(
    readings: Readings, points: Float[Array, "batch 2 3"], constants: Door, measures: Observation
) -> Outcome:
    """r = 2 - reach(right handle) - reach(left handle) + (2 |yR - yL| if each reach < 0.5)."""
    xp = namespace(points)
    left_handle, right_handle = points[:, 0], points[:, 1]
    right, left = (
        _reach(readings, RIGHT, right_handle, measures),
        _reach(readings, LEFT, left_handle, measures),
    )
    opening = xp.abs(right_handle[:, 1] - left_handle[:, 1])
    near = (right < constants.open_within) & (left < constants.open_within)
    reward = (
        constants.reward_offset - right - left + xp.where(near, constants.open_gain * opening, 0 * opening)
    )
    failure = (right >= constants.failure_distance) | (left >= constants.failure_distance)
    return Outcome(reward, failure, opening > constants.success_distance)


def pen_points(readings: Readings, constants: Pen) -> Float[Array, "batch 2 3"]:
    """Where the right hand is to hold the cap, and where the left one is to hold the pen."""
    xp = namespace(readings.object_position)
    body, cap, turn = readings.object_position, readings.link_positions[:, 0], readings.object_quaternion
    right = cap + rotate(turn, constant((0, 0, constants.right_point), body))
    left = body + rotate(turn, constant((0, 0, constants.left_point), body))
    return xp.stack([right, left], axis=1)


def pen_outcome(
    readings: Readings, points: Float[Array, "batch 2 3"], constants: Pen, measures: Observation
) -> Outcome:
    """r = exp(-10 reach(right)) + exp(-10 reach(left)) + (5 |right - left| - 0.8 if each reach < 0.75)."""
    xp = namespace(points)
    right, left = (
        _reach(readings, RIGHT, points[:, 0], measures),
        _reach(readings, LEFT, points[:, 1], measures),
    )
    pull = constants.pull_gain * norm(points[:, 0] - points[:, 1])
    near = (right < constants.pull_within) & (left < constants.pull_within)
    reward = xp.exp(-constants.reach_rate * right) + xp.exp(-constants.reach_rate * left)
    failure = (right >= constants.failure_distance) | (left >= constants.failure_distance)
    return Outcome(
        reward + xp.where(near, pull - constants.pull_offset, 0 * pull),
        failure,
        pull > constants.success_pull,
    )


def _reach(
    readings: Readings, hand: int, target: Float[Array, "batch 3"], measures: Observation
) -> Float[Array, " batch"]:
    return norm(fingertip_points(readings, measures)[:, hand] - target[:, None]).sum(axis=-1)
