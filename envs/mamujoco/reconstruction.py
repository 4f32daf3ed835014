"""From the global states of a gymnasium robot back to the positions and velocities of its MuJoCo model."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

import mujoco
import numpy as np
from jaxtyping import Float


def reconstruct(
    model: mujoco.MjModel, states: Float[np.ndarray, "time state"], step_seconds: float
) -> tuple[Float[np.ndarray, "time position"], Float[np.ndarray, "time velocity"]]:
    """(`qpos`, `qvel`) of consecutive states (qpos without the root's place, qvel, anything else).

    The root's place on the ground, x or (x, y), starts at 0: x_{t+1} = x_t + (v_t + v_{t+1}) / 2 *
    step_seconds. A predicted quaternion is scaled to length 1. Where gymnasium clips velocities (Walker2d, to
    +-10), they stay clipped.

    Args:
        model: of Ant (two root coordinates, m), HalfCheetah or Walker2d (one).
        states: in the environment's units.
        step_seconds: simulated time between two states.
    """
    root = 2 if model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE else 1
    states = states.astype(np.float64)
    seen = model.nq - root
    velocities = states[:, seen : seen + model.nv].copy()
    positions = np.zeros((len(states), model.nq))
    positions[:, root:] = states[:, :seen]
    moved = (velocities[:-1, :root] + velocities[1:, :root]) / 2 * step_seconds
    positions[1:, :root] = np.cumsum(moved, axis=0)
    for row in positions:
        mujoco.mj_normalizeQuat(model, row)
    return positions, velocities
