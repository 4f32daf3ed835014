"""A scripted controller for each task that reaches success: proof that the port's tasks can be solved.

From the global state and the step, a script gives each palm's place, its rotation from the start, and how its
fingers are bent.
"""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from envs.bidexhands.control import FORCE, TARGETS, TORQUE
from envs.bidexhands.hand import ACTUATED, named
from envs.bidexhands.layout import ACTION, hand_slice, point_slice
from envs.bidexhands.scene import HANDS
from envs.bidexhands.tasks import Task
from envs.interface import EnvSpec

RIGHT, LEFT = 1, -1  # the side of the middle a hand is on, along y
SIDES = (RIGHT, LEFT)
GAIN, TURN_GAIN = 12.0, 4.0  # of an action for what is missing, per metre and per radian


@dataclass(frozen=True)
class Aim:
    """A place for the palm point, joint angles (0 if not named), a rotation vector from the reset pose."""

    palm: Float[np.ndarray, " 3"]
    bend: Mapping[str, float]
    turn: Float[np.ndarray, " 3"] = field(default_factory=lambda: np.zeros(3))


Script = Callable[[Float[np.ndarray, " state"], int], list[Aim]]


def open_door_inward(state: Float[np.ndarray, " state"], step: int) -> list[Aim]:
    """Hook the bent fingers behind the handles, then pull along the leaves' arcs and turn with them."""
    hook = fingers(J1=1.57)
    if step < 25:
        return [Aim(np.array([0.15, 0.125 * side, 0.72]), hook) for side in SIDES]
    if step < 40:
        return [Aim(np.array([0.09, 0.11 * side, 0.72]), hook) for side in SIDES]
    if step < 50:
        return [Aim(np.array([0.088, 0.055 * side, 0.72]), hook) for side in SIDES]
    return [along_leaf(state, side, (0.079, 0.019), hook | fingers(J2=0.2), opens=1) for side in SIDES]


def open_door_outward(state: Float[np.ndarray, " state"], step: int) -> list[Aim]:
    """Put the fists before the handles and push along the leaves' arcs."""
    fist = fingers(J1=1.57)
    if step < 25:
        return [Aim(np.array([0.15, 0.05 * side, 0.69]), fist) for side in SIDES]
    return [along_leaf(state, side, (0.01, 0.0), fist, opens=-1) for side in SIDES]


def lift_cap(state: Float[np.ndarray, " state"], step: int) -> list[Aim]:
    """Hold the bottle with the left hand; pinch the cap with the right one and lift it along the axis."""
    hold = fingers(J2=0.9, J1=0.9) | {"LFJ4": 0.39, "THJ3": 0.61, "THJ0": -0.785}
    pinch = {"FFJ3": 0.15, "FFJ2": 0.85, "FFJ1": 0.49, "MFJ3": 0.35, "MFJ2": 0.64, "MFJ1": 0.66}
    pinch |= {"THJ4": 0.34, "THJ3": 1.01, "THJ2": 0.21, "THJ1": -0.34, "THJ0": -0.96}
    bottle, reference = state[point_slice(0)], state[point_slice(1)]
    axis = (reference - bottle) / np.linalg.norm(reference - bottle)
    above = 0.05 if step < 25 else 0.07 * np.clip((step - 60) / 20, 0, 1)
    palm = reference + (0.0078, -0.049, 0.0363) + (above - 0.0055) * axis
    right = Aim(palm, closed(pinch, 0.35 if step >= 45 else -0.35), np.array([-0.156, -0.089, -0.285]))
    return [right, Aim(np.array([0.008, -0.62, 0.456]), hold)]


def pull_pen(state: Float[np.ndarray, " state"], step: int) -> list[Aim]:
    """Pinch the cap with the right hand and the pen with the left one, fingers first, then thumb; pull."""
    touch = {"FFJ3": 0.31, "FFJ2": 0.96, "FFJ1": 0.29, "MFJ3": 0.35, "MFJ2": 0.95, "MFJ1": 0.35}
    touch |= {"THJ4": 0.46, "THJ3": 1.07, "THJ2": 0.08, "THJ1": 0.01, "THJ0": -0.31}
    near = step >= 34
    press = {"FFJ2": 0.2, "MFJ2": 0.2, "FFJ1": 0.1, "MFJ1": 0.1} if near else {"FFJ2": -0.3, "MFJ2": -0.3}
    oppose = np.clip((step - 44) / 8, 0, 1) * np.array([0.24, -0.24, -0.145, -0.16, -0.05])
    press |= dict(zip(("THJ4", "THJ3", "THJ2", "THJ1", "THJ0"), oppose, strict=True))
    bend = {joint: angle + press.get(joint, 0.0) for joint, angle in touch.items()}
    aims = []
    for point, pull in enumerate((0.06, 0.0)):
        along = state[point_slice(point)][1] + 0.032 + pull * (step >= 54)
        aims.append(Aim(np.array([0.03 if near else 0.045, along, 0.6736 + 0.05 * (step < 20)]), bend))
    return aims


def fingers(**angles: float) -> dict[str, float]:
    """The same angles for all four fingers, such as `fingers(J2=0.5)`."""
    return {
        f"{finger}{joint}": angle for joint, angle in angles.items() for finger in ("FF", "MF", "RF", "LF")
    }


def closed(pinch: dict[str, float], further: float) -> dict[str, float]:
    """A pinch whose two fingers and thumb are bent `further` than where they touch."""
    return pinch | {
        name: pinch[name] + further * sign for name, sign in (("FFJ2", 1), ("MFJ2", 1), ("THJ0", -1))
    }


def along_leaf(
    state: Float[np.ndarray, " state"],
    side: int,
    offset: tuple[float, float],
    bend: Mapping[str, float],
    opens: int,
) -> Aim:
    """The palm at an offset from the handle (away from the door, outwards); both turn with the leaf."""
    handle = state[point_slice(1 if side == RIGHT else 0)]
    hinge = np.array([0.0088 * opens, 0.4265 if side == RIGHT else -0.4204])
    reach = side * (hinge[1] - handle[1])
    angle = np.arctan2(handle[0] - hinge[0], reach) - np.arctan2(0.04, 0.39)
    away, outwards = offset
    shift = (
        np.cos(angle) * away - np.sin(angle) * outwards,
        side * (np.sin(angle) * away + np.cos(angle) * outwards),
        0,
    )
    return Aim(handle + shift, bend, np.array([0, 0, 0.8 * angle * side]))


class Player:
    """A task's script as a controller: force and torque proportional to the error, joint targets directly."""

    def __init__(self, spec: EnvSpec) -> None:
        model = Task(spec.task, spec.preset).build_scene().model
        self._script = SCRIPTS[spec.task]
        self._starts = [
            Rotation.from_quat(model.body(f"{hand}/base").quat, scalar_first=True) for hand in HANDS
        ]
        self._ranges = {joint: model.actuator(named("right", f"A_{joint}")).ctrlrange for joint in ACTUATED}

    def __call__(
        self, states: Float[np.ndarray, "batch state"], steps: Int[np.ndarray, " batch"]
    ) -> Float[np.ndarray, "batch hands action"]:
        return np.stack(
            [
                self._act(state, int(step))
                for state, step in zip(states.astype(np.float64), steps, strict=True)
            ]
        )

    def _act(self, state: Float[np.ndarray, " state"], step: int) -> Float[np.ndarray, "hands action"]:
        actions = np.zeros((len(HANDS), ACTION))
        for hand, aim in enumerate(self._script(state, step)):
            now = Rotation.from_euler("xyz", state[hand_slice(hand, "base_euler")])
            missing = Rotation.from_rotvec(aim.turn) * self._starts[hand] * now.inv()
            actions[hand, FORCE] = GAIN * (aim.palm - state[hand_slice(hand, "palm_point")])
            actions[hand, TORQUE] = TURN_GAIN * missing.as_rotvec()
            for column, joint in enumerate(ACTUATED, start=TARGETS.start):
                low, high = self._ranges[joint]
                actions[hand, column] = 2 * (aim.bend.get(joint, 0.0) - low) / (high - low) - 1
        return np.clip(actions, -1, 1).astype(np.float32)


SCRIPTS: dict[str, Script] = {
    "bottle-cap": lift_cap,
    "door-open-inward": open_door_inward,
    "door-open-outward": open_door_outward,
    "pen": pull_pen,
}
