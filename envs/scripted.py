"""Simple controllers to watch; none learns, and none is a baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from envs.interface import EnvironmentsError, EnvSpec
from envs.push_mass import COUPLED
from envs.registry import TASKS, imported

Controller = Callable[
    [Float[np.ndarray, "batch state"], Int[np.ndarray, " batch"]], Float[np.ndarray, "batch agents action"]
]
"""Actions in [-1, 1] for global states and the number of steps taken in each world's episode."""


class MissingControllerError(EnvironmentsError):
    """The task, or this preset of it, has no controller."""


def scripted_controller(spec: EnvSpec) -> Controller:
    """The controller that the task is registered with.

    Raises MissingControllerError, naming the tasks that have one.
    """
    registration = TASKS.get(spec.task)
    if registration is None or registration.controller is None:
        tasks = ", ".join(sorted(task for task, entry in TASKS.items() if entry.controller))
        raise MissingControllerError(
            f"there is no scripted controller for {spec.task}: choose one of {tasks}"
        )
    if spec.preset not in registration.controlled_presets:
        written = " and ".join(registration.controlled_presets)
        raise MissingControllerError(
            f"the scripted controller for {spec.task} is written for preset {written}, not {spec.preset}"
        )
    return imported(registration.controller)(spec)


def push(spec: EnvSpec) -> Controller:
    """The controller for push-mass, or for push-mass-coupled."""
    return push_to_goal_together if spec.task == "push-mass-coupled" else push_to_goal


def push_to_goal(
    state: Float[np.ndarray, "batch 6"], _: Int[np.ndarray, " batch"]
) -> Float[np.ndarray, "batch 2 1"]:
    """f = clip(8 (g - p) - 6 v, -1, 1) for push-mass, axis by axis."""
    position, velocity, goal = np.split(state, 3, axis=1)
    return np.clip(8 * (goal - position) - 6 * velocity, -1, 1)[:, :, None].astype(np.float32)


def push_to_goal_together(
    state: Float[np.ndarray, "batch 6"], _: Int[np.ndarray, " batch"]
) -> Float[np.ndarray, "batch 2 1"]:
    """The actions for push-mass-coupled whose force is 8 (g - p) - 6 v, then clipped."""
    position, velocity, goal = np.split(state, 3, axis=1)
    return np.clip((8 * (goal - position) - 6 * velocity) @ np.linalg.inv(COUPLED), -1, 1)[:, :, None].astype(
        np.float32
    )


@dataclass(frozen=True)
class Gait:
    """a_j(t) = clip(middle_j + amplitude_j sin(2 pi (frequency t + phase_j)), -1, 1), actuators in XML order.

    `frequency` in Hz, `step_seconds` the simulated time of a step. Found by random search for distance on
    gymnasium's v5 robots.
    """

    step_seconds: float
    frequency: float
    middle: tuple[float, ...]
    amplitude: tuple[float, ...]
    phase: tuple[float, ...]

    def controller(self, spec: EnvSpec) -> Controller:
        """The gait with its actuators split among the task's agents."""

        def act(
            _: Float[np.ndarray, "batch state"], step: Int[np.ndarray, " batch"]
        ) -> Float[np.ndarray, "batch agents action"]:
            cycles = self.frequency * self.step_seconds * step[:, None] + np.array(self.phase)
            actions = np.clip(
                np.array(self.middle) + np.array(self.amplitude) * np.sin(2 * np.pi * cycles), -1, 1
            )
            return actions.reshape(len(step), spec.n_agents, spec.act_dim).astype(np.float32)

        return act


HALF_CHEETAH = Gait(
    step_seconds=0.05,
    frequency=3.7,
    middle=(-0.1, 0.3, 0.2, -0.1, -0.2, 0.0),
    amplitude=(0.8, 1.2, 0.5, 0.8, 0.7, 1.4),
    phase=(0.0, 0.3, 0.0, 0.3, 0.4, 0.4),
)
ANT = Gait(
    step_seconds=0.05,
    frequency=0.9,
    middle=(-0.4, 0.3, -0.1, -0.1, -0.2, -0.1, -0.2, -0.3),
    amplitude=(0.6, 0.7, 0.3, 0.9, 0.8, 0.7, 0.3, 0.5),
    phase=(0.5, 0.4, 0.5, 0.7, 0.8, 0.6, 0.4, 0.2),
)
WALKER2D = Gait(
    step_seconds=0.008,
    frequency=3.18,
    middle=(0.56, 0.29, 0.31, 0.4, 0.24, 0.03),
    amplitude=(0.66, 0.83, 0.17, 0.3, 0.28, 0.35),
    phase=(0.91, 0.72, 0.39, 0.46, 0.9, 0.92),
)

_GAITS = {"halfcheetah": HALF_CHEETAH, "ant": ANT, "walker2d": WALKER2D}


def gait(spec: EnvSpec) -> Controller:
    """The gait of a MAMuJoCo task's robot."""
    return _GAITS[spec.task.partition("-")[0]].controller(spec)
