"""Gymnasium's robots: what their states hold, what they are rewarded for and when an episode ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

Health = Callable[
    [Float[np.ndarray, "batch positions"], Float[np.ndarray, "batch velocities"]], Bool[np.ndarray, " batch"]
]


@dataclass(frozen=True)
class Body:
    """A robot and its rules: r = dx/dt + bonus - c sum(a^2) - k sum(f^2), external contact forces f in +-1.

    `robot`: gymnasium's environment with the model and the random starts, made with `arguments`. `rules`:
    gymnasium's environment with these states, rewards and terminations. `hidden`: leading positions (x, or x
    and y) that the state leaves out. `velocity_limit`: velocities in the state are clipped to +-this.
    `health`: the episode ends where it fails, and `dying_bonus` replaces `bonus` on that step.
    `sees_contact`: f, without the world's own, is part of the state. `zeros`: numbers at the end of the state
    that are always 0. `torso_speed`: dx/dt is of the torso's frame, one substep behind; otherwise of the
    first position.
    """

    robot: str
    rules: str
    arguments: Mapping[str, Any]
    hidden: int
    control_cost: float
    health: Health
    velocity_limit: float = np.inf
    bonus: float = 0.0
    dying_bonus: float = 0.0
    contact_cost: float = 0.0
    sees_contact: bool = False
    zeros: int = 0
    torso_speed: bool = False


def reward(
    body: Body,
    velocity: Float[np.ndarray, " batch"],
    controls: Float[np.ndarray, "batch actuators"],
    healthy: Bool[np.ndarray, " batch"],
    contact: Float[np.ndarray, "batch forces"] | None,
) -> Float[np.ndarray, " batch"]:
    """The body's reward, bit for bit: terms are added in gymnasium's order."""
    costs = body.control_cost * np.add.reduce(np.square(controls), axis=1)
    if contact is not None:
        costs = costs + body.contact_cost * np.add.reduce(np.square(contact), axis=1)
    bonus = body.bonus if body.bonus == body.dying_bonus else np.where(healthy, body.bonus, body.dying_bonus)
    return velocity + bonus - costs


def _always_healthy(
    positions: Float[np.ndarray, "batch positions"], velocities: Float[np.ndarray, "batch velocities"]
) -> Bool[np.ndarray, " batch"]:
    """Everywhere: no episode ends early."""
    return np.ones(len(positions), dtype=np.bool_)


def _ant_is_healthy(
    positions: Float[np.ndarray, "batch positions"], velocities: Float[np.ndarray, "batch velocities"]
) -> Bool[np.ndarray, " batch"]:
    """0.2 <= z <= 1, and every number finite."""
    height = positions[:, 2]
    return (
        (height >= 0.2)
        & (height <= 1)
        & np.isfinite(positions).all(axis=1)
        & np.isfinite(velocities).all(axis=1)
    )


def _walker_is_healthy(
    positions: Float[np.ndarray, "batch positions"], velocities: Float[np.ndarray, "batch velocities"]
) -> Bool[np.ndarray, " batch"]:
    """0.8 < z < 2 and |pitch| < 1."""
    height, pitch = positions[:, 1], positions[:, 2]
    return (height > 0.8) & (height < 2) & (pitch > -1) & (pitch < 1)


_HALF_CHEETAH = Body(
    robot="HalfCheetah-v5",
    rules="HalfCheetah-v5",  # the same as v2
    arguments={"reset_noise_scale": 0.1},
    hidden=1,
    control_cost=0.1,
    health=_always_healthy,
)
_ANT = Body(
    robot="Ant-v5",
    rules="Ant-v5",
    arguments={"reset_noise_scale": 0.1},
    hidden=2,
    control_cost=0.5,
    health=_ant_is_healthy,
    bonus=1.0,
    contact_cost=5e-4,
    sees_contact=True,
    torso_speed=True,
)
_WALKER = Body(
    robot="Walker2d-v5",
    rules="Walker2d-v5",
    arguments={"reset_noise_scale": 5e-3},
    hidden=1,
    control_cost=1e-3,
    health=_walker_is_healthy,
    velocity_limit=10.0,
    bonus=1.0,
)

V5_BODIES = {"halfcheetah": _HALF_CHEETAH, "ant": _ANT, "walker2d": _WALKER}

# v4 kept v2's rewards: no contact cost, the bonus on the last step too, and a Walker2d whose feet differ in
# friction. The 84 contact forces in v2's state were 0 with every engine that could run it since mujoco-py
# 2.0; v4 leaves them out.
V2_BODIES = {
    "halfcheetah": _HALF_CHEETAH,
    "ant": replace(_ANT, rules="Ant-v4", dying_bonus=1.0, contact_cost=0.0, sees_contact=False, zeros=84),
    "walker2d": replace(
        _WALKER,
        rules="Walker2d-v4",
        dying_bonus=1.0,
        arguments={**_WALKER.arguments, "xml_file": "walker2d.xml"},
    ),
}
