"""Array formulas that hold for NumPy and torch alike.

Quaternions are (w, x, y, z), as in MuJoCo, and of norm 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float

Array = Any
"""A NumPy array or a torch tensor."""


def namespace(array: Array) -> Any:
    """The library an array belongs to: numpy or torch, which share the names used here."""
    return sys.modules[type(array).__module__]


def constant(values: Sequence[float], like: Array) -> Float[Array, " values"]:
    """The numbers as an array of the kind, type and device of `like`."""
    return namespace(like).asarray(values, dtype=like.dtype, device=like.device)


def norm(vectors: Float[Array, "*batch 3"]) -> Float[Array, "*batch"]:
    """Euclidean length."""
    return namespace(vectors).linalg.vector_norm(vectors, axis=-1)


def cross(first: Float[Array, "*#batch 3"], second: Float[Array, "*#batch 3"]) -> Float[Array, "*batch 3"]:
    """The vector product, written out: the libraries' own takes three times as long for few vectors."""
    ax, ay, az = (first[..., part] for part in range(3))
    bx, by, bz = (second[..., part] for part in range(3))
    return namespace(first).stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def rotate(
    quaternion: Float[Array, "*batch 4"], vector: Float[Array, "*#batch 3"]
) -> Float[Array, "*batch 3"]:
    """v + 2 w (u x v) + 2 u x (u x v) for q = (w, u)."""
    scalar, axis = quaternion[..., :1], quaternion[..., 1:]
    twice = 2 * cross(axis, vector)
    return vector + scalar * twice + cross(axis, twice)


def conjugate(quaternion: Float[Array, "*batch 4"]) -> Float[Array, "*batch 4"]:
    """The opposite rotation."""
    return quaternion * constant((1, -1, -1, -1), quaternion)


def xyzw(quaternion: Float[Array, "*batch 4"]) -> Float[Array, "*batch 4"]:
    """The scalar last, as Isaac Gym has it."""
    return quaternion[..., [1, 2, 3, 0]]


def euler_xyz(quaternion: Float[Array, "*batch 4"]) -> Float[Array, "*batch 3"]:
    """(roll, pitch, yaw) with R = Rz(yaw) Ry(pitch) Rx(roll), in [-pi, pi], [-pi/2, pi/2], [-pi, pi]."""
    xp = namespace(quaternion)
    w, x, y, z = (quaternion[..., part] for part in range(4))
    roll = xp.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = xp.arcsin(xp.clip(2 * (w * y - z * x), -1, 1))
    yaw = xp.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return xp.stack([roll, pitch, yaw], axis=-1)
