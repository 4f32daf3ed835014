"""A few lines of script for each task, which learn nothing and reach success: the proof that the port's tasks can be solved.

A script says, from the step and the task's points, where each palm is to be and how its fingers are bent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from envs.bidexhands.environment import BiDexHands
from envs.bidexhands.hand import ACTUATED, named
from envs.bidexhands.observation import palm_points

RIGHT, LEFT = 1, -1  # the side of the middle a hand is on, along y


@dataclass
class Aim:
    """A place for the palm point, a rotation vector from the reset pose, and joint angles; joints not named are at 0."""

    palm: np.ndarray
    bend: Mapping[str, float] = field(default_factory=dict)
    turn: tuple[float, float, float] = (0, 0, 0)


Script = Callable[[BiDexHands, int], tuple[Aim, Aim]]


def play(env: BiDexHands, script: Script) -> tuple[float, bool, int]:
    """One episode of the first world: its return, its success and its length."""
    env.reset()
    start = env.readings().mount_quaternions[0]
    while True:
        result = env.step(_actions(env, script(env, int(env._lengths[0])), start))
        if result.terminated[0] or result.truncated[0]:
            return float(result.info["episode_return"][0]), bool(result.info["success"][0]), int(result.info["episode_length"][0])


def open_door_inward(env: BiDexHands, step: int) -> tuple[Aim, Aim]:
    """Hook the bent fingers behind the handles, then pull along the leaves' arcs and turn with them."""
    hook = fingers(J1=1.57)
    if step < 25:
        return tuple(Aim(np.array([0.15, 0.125 * side, 0.72]), hook) for side in (RIGHT, LEFT))
    if step < 40:
        return tuple(Aim(np.array([0.09, 0.11 * side, 0.72]), hook) for side in (RIGHT, LEFT))
    if step < 50:
        return tuple(Aim(np.array([0.088, 0.055 * side, 0.72]), hook) for side in (RIGHT, LEFT))
    return tuple(_along_leaf(env, side, (0.079, 0.019), hook | fingers(J2=0.2), turn=0.8) for side in (RIGHT, LEFT))


def open_door_outward(env: BiDexHands, step: int) -> tuple[Aim, Aim]:
    """Put the fists before the handles and push."""
    fist = fingers(J1=1.57)
    if step < 25:
        return tuple(Aim(np.array([0.15, 0.05 * side, 0.69]), fist) for side in (RIGHT, LEFT))
    return tuple(_along_leaf(env, side, (0.01, 0.0), fist, turn=-0.8) for side in (RIGHT, LEFT))


def lift_cap(env: BiDexHands, step: int) -> tuple[Aim, Aim]:
    """Hold the bottle with the left hand; pinch the cap with two fingers and the thumb of the right, and lift along the axis."""
    pinch = {"FFJ3": 0.15, "FFJ2": 0.85, "FFJ1": 0.49, "MFJ3": 0.35, "MFJ2": 0.64, "MFJ1": 0.66}
    pinch |= {"THJ4": 0.34, "THJ3": 1.01, "THJ2": 0.21, "THJ1": -0.34, "THJ0": -0.96}
    hold = fingers(J2=0.9, J1=0.9) | {"LFJ4": 0.39, "THJ3": 0.61, "THJ0": -0.785}
    bottle, reference, _ = _points(env)
    axis = (reference - bottle) / np.linalg.norm(reference - bottle)
    above = 0.05 if step < 25 else 0.07 * np.clip((step - 60) / 20, 0, 1)
    palm = reference + (0.0078, -0.049, 0.0363) + (above - 0.0055) * axis
    right = Aim(palm, closed(pinch, 0.35 if step >= 45 else -0.35), (-0.156, -0.089, -0.285))
    return right, Aim(np.array([0.008, -0.62, 0.456]), hold)


def pull_pen(env: BiDexHands, step: int) -> tuple[Aim, Aim]:
    """Pinch the cap with the right hand and the pen with the left one, and pull."""
    pinch = {"FFJ3": 0.31, "FFJ2": 0.96, "FFJ1": 0.29, "MFJ3": 0.35, "MFJ2": 0.95, "MFJ1": 0.35}
    pinch |= {"THJ4": 0.46, "THJ3": 1.07, "THJ2": 0.08, "THJ1": 0.01, "THJ0": -0.31}
    aims = []
    for place, pull in zip(_points(env), (0.03, 0.0), strict=True):
        palm = np.array([place[0] + 0.03, place[1] + 0.032 + pull * (step >= 55), 0.6736 + 0.05 * (step < 25)])
        aims.append(Aim(palm, closed(pinch, 0.35 if step >= 40 else -0.35)))
    return tuple(aims)


SCRIPTS: dict[str, Script] = {
    "bottle-cap": lift_cap,
    "door-open-inward": open_door_inward,
    "door-open-outward": open_door_outward,
    "pen": pull_pen,
}


def fingers(**angles: float) -> dict[str, float]:
    """The same angles for all four fingers, such as `fingers(J2=0.5)`."""
    return {f"{finger}{joint}": angle for joint, angle in angles.items() for finger in ("FF", "MF", "RF", "LF")}


def closed(pinch: dict[str, float], further: float) -> dict[str, float]:
    """A pinch whose fingers and thumb are bent `further` than where they touch."""
    return pinch | {name: pinch[name] + further * sign for name, sign in (("FFJ2", 1), ("MFJ2", 1), ("THJ0", -1))}


def _points(env: BiDexHands) -> np.ndarray:
    return env.task.points(env.readings())[0]


def _along_leaf(env: BiDexHands, side: int, offset: tuple[float, float], bend: Mapping[str, float], turn: float) -> Aim:
    """The palm at an offset from the handle that turns with the leaf, and the hand turned by a part of the leaf's angle."""
    name = "right_leaf" if side == RIGHT else "left_leaf"
    angle = env.worlds.data[0].joint(name).qpos[0] * np.sign(turn)
    handle = _points(env)[1 if side == RIGHT else 0]
    outward, sideways = offset
    shift = (np.cos(angle) * outward - np.sin(angle) * sideways, side * (np.sin(angle) * outward + np.cos(angle) * sideways), 0)
    return Aim(handle + shift, bend, (0, 0, abs(turn) * angle * side))


def _actions(env: BiDexHands, aims: tuple[Aim, Aim], start: np.ndarray) -> np.ndarray:
    """Force and torque in proportion to what is missing; joint targets as they are."""
    readings, model = env.readings(), env.worlds.model
    palms = palm_points(readings, env.task.constants.observation)[0]
    actions = np.zeros((1, 2, 26))
    for hand, (name, aim) in enumerate(zip(("right", "left"), aims, strict=True)):
        actions[0, hand, 0:3] = 12 * (aim.palm - palms[hand])
        actions[0, hand, 3:6] = 4 * _missing_rotation(readings.mount_quaternions[0, hand], start[hand], aim.turn)
        for column, joint in enumerate(ACTUATED, start=6):
            low, high = model.actuator(named(name, f"A_{joint}")).ctrlrange
            actions[0, hand, column] = 2 * (aim.bend.get(joint, 0.0) - low) / (high - low) - 1
    return np.clip(actions, -1, 1)


def _missing_rotation(now: np.ndarray, start: np.ndarray, turn: tuple[float, float, float]) -> np.ndarray:
    """The rotation vector from `now` to `start` turned by `turn`."""
    angle = float(np.linalg.norm(turn))
    turned, wanted, back, missing, vector = np.empty(4), np.empty(4), np.empty(4), np.empty(4), np.empty(3)
    mujoco.mju_axisAngle2Quat(turned, np.array(turn) / (angle or 1.0), angle)
    mujoco.mju_mulQuat(wanted, turned, start)
    mujoco.mju_negQuat(back, now)
    mujoco.mju_mulQuat(missing, wanted, back)
    mujoco.mju_quat2Vel(vector, missing, 1.0)
    return vector
