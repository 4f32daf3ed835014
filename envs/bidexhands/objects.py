"""The objects to handle, built from primitives with the original's measures.

Every object is one body named "object", the original's root frame, with moving parts below it. The door's
leaves keep the original's link frames: x across the leaf, y along the hinge, z through the leaf.
"""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

from collections.abc import Sequence

import mujoco
from mujoco import mjtGeom, mjtJoint

from envs.bidexhands.constants import BottleCap, Door, Pen, TaskConstants
from envs.bidexhands.hand import ALL_BITS, FIXED_BIT, OBJECT_BIT

LEAF_TO_ROOT = (0.5, 0.5, -0.5, -0.5)
"""Link x to root -y, link y to root z, link z to root -x."""

GLASS, BLUE, RED = (0.45, 0.72, 0.60, 1), (0.15, 0.32, 0.62, 1), (0.78, 0.22, 0.18, 1)
WOOD, STEEL, TABLE = (0.71, 0.52, 0.34, 1), (0.30, 0.32, 0.35, 1), (0.62, 0.60, 0.57, 1)


def add_bottle(root: mujoco.MjsBody, constants: BottleCap) -> None:
    """A bottle with its axis along z, on a free joint; its cap slides up the axis, then spins about it."""
    root.add_freejoint(name="object")
    for part in (constants.body, constants.shoulder, constants.neck):
        _cylinder(root, part, constants, GLASS)
    cap = root.add_body(name="cap")
    _joint(cap, "cap_slide", mjtJoint.mjJNT_SLIDE, (0, 0, 1), (0, constants.cap_travel), constants)
    _joint(cap, "cap_spin", mjtJoint.mjJNT_HINGE, (0, 0, 1), None, constants)
    _cylinder(cap, constants.cap, constants, RED)


def add_door(root: mujoco.MjsBody, constants: Door) -> None:
    """A door that stays where it is: two rails and two leaves that swing towards the root's -x."""
    width, thickness, height = constants.frame_rail
    for level in constants.frame_heights:
        _box(root, (0, 0, level), (thickness, width, height), constants, STEEL)
    for leaf, hinge, side in (
        ("right_leaf", constants.right_hinge, 1),
        ("left_leaf", constants.left_hinge, -1),
    ):
        body = root.add_body(name=leaf, pos=hinge, quat=LEAF_TO_ROOT)
        _joint(body, leaf, mjtJoint.mjJNT_HINGE, (0, -side, 0), (0, constants.leaf_travel), constants)
        across = side * (abs(hinge[1]) - constants.leaf_gap - constants.leaf_size[0] / 2)
        _box(body, (across, constants.leaf_centre, hinge[0]), constants.leaf_size, constants, WOOD)
        for face in (1, -1):
            _add_handle(body, constants, side, face, hinge[0])


def add_pen(root: mujoco.MjsBody, constants: Pen) -> None:
    """A pen with its axis along z, on a free joint; its cap slides off towards -z."""
    root.add_freejoint(name="object")
    _cylinder(root, constants.body, constants, BLUE)
    cap = root.add_body(name="cap")
    _joint(cap, "cap_slide", mjtJoint.mjJNT_SLIDE, (0, 0, -1), (0, constants.cap_travel), constants)
    _cylinder(cap, constants.cap, constants, RED)
    radius, start, _ = constants.cap
    width, height, length = constants.clip_size
    _box(cap, (-radius - height / 2, 0, start + length / 2), (height, width, length), constants, STEEL)


def add_table(world: mujoco.MjsBody, constants: BottleCap | Pen) -> None:
    """A table that stays where it is."""
    half = [length / 2 for length in constants.table_size]
    table = world.add_geom(
        name="table", type=mjtGeom.mjGEOM_BOX, pos=constants.table_position, size=half, rgba=TABLE
    )
    table.contype, table.conaffinity = FIXED_BIT, ALL_BITS & ~FIXED_BIT


def _add_handle(leaf: mujoco.MjsBody, constants: Door, side: int, face: int, plane: float) -> None:
    """A bar along the hinge on two feet, with room for fingers behind it; `plane` is the leaf's middle."""
    near, far = constants.handle_span
    across, along = side * (near + far) / 2, constants.handle_point[1]
    surface, thickness, reach = constants.leaf_size[2] / 2, constants.handle_thickness, constants.handle_depth
    bar = (across, along, plane + face * (surface + reach - thickness / 2))
    _box(leaf, bar, (far - near, constants.handle_height, thickness), constants, STEEL)
    for end in (1, -1):
        foot = (
            across,
            along + end * (constants.handle_height - thickness) / 2,
            plane + face * (surface + (reach - thickness) / 2),
        )
        _box(leaf, foot, (far - near, thickness, reach - thickness), constants, STEEL)


def _joint(
    body: mujoco.MjsBody,
    name: str,
    kind: mjtJoint,
    axis: Sequence[float],
    travel: Sequence[float] | None,
    constants: TaskConstants,
) -> None:
    limited = {} if travel is None else {"limited": True, "range": travel}
    joint = body.add_joint(name=name, type=kind, axis=axis, **limited)
    joint.stiffness[0], joint.damping[0] = constants.object_spring, constants.object_damping


def _cylinder(
    body: mujoco.MjsBody, part: Sequence[float], constants: TaskConstants, colour: Sequence[float]
) -> None:
    """A cylinder along z, given by radius, from and to."""
    radius, start, end = part
    size = (radius, (end - start) / 2, 0)
    _touchable(
        body.add_geom(type=mjtGeom.mjGEOM_CYLINDER, pos=(0, 0, (start + end) / 2), size=size, rgba=colour),
        constants,
    )


def _box(
    body: mujoco.MjsBody,
    centre: Sequence[float],
    lengths: Sequence[float],
    constants: TaskConstants,
    colour: Sequence[float],
) -> None:
    half = [length / 2 for length in lengths]
    _touchable(body.add_geom(type=mjtGeom.mjGEOM_BOX, pos=centre, size=half, rgba=colour), constants)


def _touchable(geom: mujoco.MjsGeom, constants: TaskConstants) -> None:
    geom.contype, geom.conaffinity = OBJECT_BIT, ALL_BITS & ~OBJECT_BIT
    geom.density = constants.object_density
    geom.condim = constants.object_condim
    geom.friction = (
        constants.object_friction,
        constants.object_torsional_friction,
        constants.object_rolling_friction,
    )
    # contacts have the object's friction instead of the larger of two
    geom.priority = 1
