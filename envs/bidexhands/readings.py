"""The quantities of observations and rewards, read from arrays of either engine.

An engine fills `EngineArrays`, in NumPy or torch with worlds along the first axis; the rest is shared.
"""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float, Int

from envs.bidexhands.arrays import Array, conjugate, cross, namespace, rotate
from envs.bidexhands.hand import FINGERS, JOINTS, named
from envs.bidexhands.scene import HANDS


@dataclass(frozen=True)
class Addresses:
    """Where in a model's arrays the readings are: [hands] or [hands, parts], hands as in HANDS."""

    joint_positions: Int[np.ndarray, "hands joints"]
    joint_velocities: Int[np.ndarray, "hands joints"]
    joint_ranges: Float[np.ndarray, "hands joints 2"]
    fingertips: Int[np.ndarray, "hands fingers"]
    contact_sensors: Int[np.ndarray, "hands fingers 9"]
    palms: Int[np.ndarray, " hands"]
    mounts: Int[np.ndarray, " hands"]
    base: Int[np.ndarray, " hands"]
    object: int
    links: Int[np.ndarray, " links"]


@dataclass(frozen=True)
class EngineArrays:
    """MuJoCo's arrays of the same names after a step, refreshed by kinematics, comPos and comVel.

    Forces, and `wrenches` from `fingertip_wrenches`, are those of the last substep.
    """

    qpos: Float[Array, "batch positions"]
    qvel: Float[Array, "batch velocities"]
    qfrc_actuator: Float[Array, "batch velocities"]
    qfrc_constraint: Float[Array, "batch velocities"]
    xpos: Float[Array, "batch bodies 3"]
    xquat: Float[Array, "batch bodies 4"]
    cvel: Float[Array, "batch bodies 6"]
    subtree_com: Float[Array, "batch bodies 3"]
    wrenches: Float[Array, "batch hands fingers 6"]


@dataclass(frozen=True)
class Readings:
    """Unscaled, in the world's frame; quaternions are (w, x, y, z), velocities those of frame origins.

    `joint_forces` are of actuators and constraints together; wrenches (force, torque) act on a fingertip's
    link at its origin, in its frame; `link_*` are of the object's moving parts.
    """

    joint_positions: Float[Array, "batch hands joints"]
    joint_velocities: Float[Array, "batch hands joints"]
    joint_forces: Float[Array, "batch hands joints"]
    joint_ranges: Float[Array, "hands joints 2"]
    fingertip_positions: Float[Array, "batch hands fingers 3"]
    fingertip_quaternions: Float[Array, "batch hands fingers 4"]
    fingertip_linear_velocities: Float[Array, "batch hands fingers 3"]
    fingertip_angular_velocities: Float[Array, "batch hands fingers 3"]
    fingertip_wrenches: Float[Array, "batch hands fingers 6"]
    palm_positions: Float[Array, "batch hands 3"]
    palm_quaternions: Float[Array, "batch hands 4"]
    mount_quaternions: Float[Array, "batch hands 4"]
    object_position: Float[Array, "batch 3"]
    object_quaternion: Float[Array, "batch 4"]
    object_linear_velocity: Float[Array, "batch 3"]
    object_angular_velocity: Float[Array, "batch 3"]
    link_positions: Float[Array, "batch links 3"]
    link_quaternions: Float[Array, "batch links 4"]


def find_addresses(model: mujoco.MjModel, links: tuple[str, ...]) -> Addresses:
    """Look up every name once; `links` are the object's moving bodies in the order of the readings."""
    joints = np.array([[model.joint(named(hand, joint)).id for joint in JOINTS] for hand in HANDS])
    sensors = np.array([[model.sensor(f"{hand}/{finger}tip").adr[0] for finger in FINGERS] for hand in HANDS])
    return Addresses(
        joint_positions=model.jnt_qposadr[joints].astype(np.int64),
        joint_velocities=model.jnt_dofadr[joints].astype(np.int64),
        joint_ranges=model.jnt_range[joints],
        fingertips=np.array(
            [[model.body(named(hand, f"{finger}distal")).id for finger in FINGERS] for hand in HANDS]
        ),
        contact_sensors=sensors[..., None] + np.arange(9),
        palms=np.array([model.body(named(hand, "palm")).id for hand in HANDS]),
        mounts=np.array([model.body(named(hand, "hand mount")).id for hand in HANDS]),
        base=np.array([model.body(f"{hand}/base").id for hand in HANDS]),
        object=int(model.body("object").id),
        links=np.array([model.body(link).id for link in links]),
    )


def fingertip_wrenches(
    sensordata: Float[Array, "batch sensors"],
    xpos: Float[Array, "batch bodies 3"],
    xquat: Float[Array, "batch bodies 4"],
    addresses: Addresses,
) -> Float[Array, "batch hands fingers 6"]:
    """The contact sensors' net wrenches, moved to the link's origin and into its frame.

    Sensors are of the positions that a substep began with: `xpos` and `xquat` must be too, before any
    refresh.
    """
    reported = sensordata[:, addresses.contact_sensors]
    # A contact sensor says what its body does to others.
    force, torque, where = -reported[..., 0:3], -reported[..., 3:6], reported[..., 6:9]
    xp = namespace(reported)
    at_origin = torque + cross(where - xpos[:, addresses.fingertips], force)
    into_link = conjugate(xquat[:, addresses.fingertips])
    return xp.concat([rotate(into_link, force), rotate(into_link, at_origin)], axis=-1)


def read(arrays: EngineArrays, addresses: Addresses) -> Readings:
    """Gather the readings of all worlds."""
    xp = namespace(arrays.qpos)
    tips, trees = addresses.fingertips, addresses.base[:, None]
    spin = arrays.cvel[:, tips, 0:3]
    from_centre = arrays.xpos[:, tips] - arrays.subtree_com[:, trees]
    thing = addresses.object
    object_spin = arrays.cvel[:, thing, 0:3]
    object_arm = arrays.xpos[:, thing] - arrays.subtree_com[:, thing]
    dofs = addresses.joint_velocities
    return Readings(
        joint_positions=arrays.qpos[:, addresses.joint_positions],
        joint_velocities=arrays.qvel[:, dofs],
        joint_forces=arrays.qfrc_actuator[:, dofs] + arrays.qfrc_constraint[:, dofs],
        joint_ranges=xp.asarray(addresses.joint_ranges, dtype=arrays.qpos.dtype, device=arrays.qpos.device),
        fingertip_positions=arrays.xpos[:, tips],
        fingertip_quaternions=arrays.xquat[:, tips],
        # cvel is the velocity of the point of a body that passes its tree's centre of mass
        fingertip_linear_velocities=arrays.cvel[:, tips, 3:6] + cross(spin, from_centre),
        fingertip_angular_velocities=spin,
        fingertip_wrenches=arrays.wrenches,
        palm_positions=arrays.xpos[:, addresses.palms],
        palm_quaternions=arrays.xquat[:, addresses.palms],
        mount_quaternions=arrays.xquat[:, addresses.mounts],
        object_position=arrays.xpos[:, thing],
        object_quaternion=arrays.xquat[:, thing],
        object_linear_velocity=arrays.cvel[:, thing, 3:6] + cross(object_spin, object_arm),
        object_angular_velocity=object_spin,
        link_positions=arrays.xpos[:, addresses.links],
        link_quaternions=arrays.xquat[:, addresses.links],
    )
