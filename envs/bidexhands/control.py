"""From actions to joint targets of the actuators and a wrench on each forearm."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float, Int

from envs.bidexhands.arrays import Array, namespace
from envs.bidexhands.constants import Hand, TaskConstants
from envs.bidexhands.hand import ACTUATED, named
from envs.bidexhands.scene import HANDS

FORCE, TORQUE, TARGETS = slice(0, 3), slice(3, 6), slice(6, 26)
"""Parts of a hand's action in [-1, 1]: the forearm's force and torque, the joints' targets."""


@dataclass(frozen=True)
class Controls:
    """Where actions go in a model, and their scales; hands as in HANDS, joints as in ACTUATED."""

    actuators: Int[np.ndarray, "hands actuated"]
    ranges: Float[np.ndarray, "hands actuated 2"]
    forearms: Int[np.ndarray, " hands"]
    force: float
    torque: float


def find_controls(model: mujoco.MjModel, hand: Hand, task: TaskConstants) -> Controls:
    """Look up every name once."""
    actuators = np.array(
        [[model.actuator(named(side, f"A_{joint}")).id for joint in ACTUATED] for side in HANDS]
    )
    return Controls(
        actuators=actuators,
        ranges=model.actuator_ctrlrange[actuators],
        forearms=np.array([model.body(named(side, "forearm")).id for side in HANDS]),
        force=task.control_period * task.force_gain * hand.force_scale,
        torque=task.control_period * task.torque_gain * hand.torque_scale,
    )


def joint_targets(
    actions: Float[Array, "batch hands action"], controls: Controls
) -> Float[Array, "batch hands actuated"]:
    """lower + (a + 1) / 2 (upper - lower), so 0 is the middle of a joint's range; radians."""
    xp = namespace(actions)
    ranges = xp.asarray(controls.ranges, dtype=actions.dtype, device=actions.device)
    lower, upper = ranges[..., 0], ranges[..., 1]
    return lower + (actions[..., TARGETS] + 1) / 2 * (upper - lower)


def forearm_wrenches(
    actions: Float[Array, "batch hands action"], controls: Controls
) -> Float[Array, "batch hands 6"]:
    """Force and torque at each forearm's centre of mass in the world's frame; N and N m."""
    xp = namespace(actions)
    return xp.concat([actions[..., FORCE] * controls.force, actions[..., TORQUE] * controls.torque], axis=-1)
