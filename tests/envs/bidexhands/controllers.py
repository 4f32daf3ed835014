"""A few lines of script for each task, which learn nothing and reach success: the proof that the port's tasks can be solved.

A script says, step by step, where each palm is to be, how it is to be turned from how it started, and how the fingers are bent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from envs.bidexhands.environment import BiDexHands
from envs.bidexhands.hand import ACTUATED
from envs.bidexhands.observation import palm_points


@dataclass
class Aim:
    """A palm point in the world, a rotation vector from the reset pose, joint angles (others at 0), and how eagerly."""

    palm: np.ndarray
    turn: tuple[float, float, float] = (0, 0, 0)
    bend: Mapping[str, float] = field(default_factory=dict)
    eager: float = 12.0


def fingers(**angles: float) -> dict[str, float]:
    """Angles of J3..J1 for all four fingers at once, such as `fingers(J2=0.5)`."""
    return {f"{finger}{joint}": angle for joint, angle in angles.items() for finger in ("FF", "MF", "RF", "LF")}


class Driver:
    """Turns aims into actions: proportional on the palm's place and turn, joint targets as they are."""

    def __init__(self, env: BiDexHands) -> None:
        self.env = env
        start = env.readings()
        self.start = palm_points(start, env.task.constants.observation)[0]
        self.upright = start.mount_quaternions[0]
        ranges = env._controls.ranges
        self.lower, self.width = ranges[..., 0], ranges[..., 1] - ranges[..., 0]

    def act(self, aims: tuple[Aim, Aim]) -> np.ndarray:
        readings = self.env.readings()
        palms = palm_points(readings, self.env.task.constants.observation)[0]
        action = np.zeros((1, 2, 26))
        for hand, aim in enumerate(aims):
            action[0, hand, 0:3] = aim.eager * (aim.palm - palms[hand])
            action[0, hand, 3:6] = self._torque(readings.mount_quaternions[0, hand], self.upright[hand], aim.turn)
            angles = np.array([aim.bend.get(joint, 0.0) for joint in ACTUATED])
            action[0, hand, 6:26] = 2 * (angles - self.lower[hand]) / self.width[hand] - 1
        return np.clip(action, -1, 1)

    @staticmethod
    def _torque(now: np.ndarray, start: np.ndarray, turn: tuple[float, float, float]) -> np.ndarray:
        """Proportional to the rotation that is still missing."""
        angle = float(np.linalg.norm(turn))
        wanted, missing, result = np.empty(4), np.empty(4), np.empty(3)
        mujoco.mju_axisAngle2Quat(wanted, np.array(turn) / (angle or 1.0), angle)
        mujoco.mju_mulQuat(wanted, wanted.copy(), start)
        back = np.empty(4)
        mujoco.mju_negQuat(back, now)
        mujoco.mju_mulQuat(missing, wanted, back)
        mujoco.mju_quat2Vel(result, missing, 1.0)
        return 4 * result
