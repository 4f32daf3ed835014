"""What `probe` writes, read back and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from envs.interface import EnvironmentsError

Vector = tuple[float, float, float]
Pair = tuple[float, float]
Line = Annotated[str, Field(pattern=r"^[^\r\n]*$", max_length=200)]
"""Text that fits a comment line."""


class ProbeError(EnvironmentsError):
    """A file that is no probe's output, or measurements that no constants explain."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Body(_Part):
    """A rigid body: centre of mass and inertia about it in the body's frame, and the frame's pose."""

    mass: Annotated[float, Field(ge=0)]
    centre: Vector
    inertia: tuple[Vector, Vector, Vector]
    position: Vector
    orientation_xyzw: tuple[float, float, float, float]

    @field_validator("orientation_xyzw")
    @classmethod
    def _is_a_rotation(cls, value: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        if not 0.9 < np.linalg.norm(value) < 1.1:
            raise ValueError("a rotation's quaternion has norm 1")
        return value

    def centre_in_world(self) -> Float[np.ndarray, " 3"]:
        """Of its mass."""
        return np.array(self.position) + self._rotation() @ np.array(self.centre)

    def inertia_about(self, point: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
        """About a point of the world, along the world's axes: R I R' + m (|d|^2 1 - d d')."""
        rotation, away = self._rotation(), self.centre_in_world() - point
        return rotation @ np.array(self.inertia) @ rotation.T + self.mass * (
            away @ away * np.eye(3) - np.outer(away, away)
        )

    def _rotation(self) -> Float[np.ndarray, "3 3"]:
        x, y, z, w = np.array(self.orientation_xyzw) / np.linalg.norm(self.orientation_xyzw)
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        return np.eye(3) + 2 * w * cross + 2 * cross @ cross


class Push(_Part):
    """A constant force (N) or torque (N m) on the hand from rest, and velocities after each control step."""

    applied: Vector
    velocity: Annotated[list[Vector], Field(min_length=3)]
    angular_velocity: Annotated[list[Vector], Field(min_length=3)]


class Door(_Part):
    """Two leaves let go: angles and speeds at the release and after each control step."""

    leaves: tuple[Body, Body]
    drive: dict[str, list[float]]
    angle: Annotated[list[Pair], Field(min_length=4)]
    speed: Annotated[list[Pair], Field(min_length=4)]


class Finger(_Part):
    """A joint's angle after each control step towards its target; not fitted, the port has no constant."""

    joint: int
    target: float
    angle: list[float]


class ProbeFile(_Part):
    """The whole file."""

    format: Literal["dima-isaacgym-probe"]
    version: Literal[1]
    versions: dict[Line, Line]
    task: Line
    seed: int
    dt: Annotated[float, Field(gt=0, le=1)]
    substeps: Annotated[int, Field(gt=0, le=100)]
    hand: Annotated[list[Body], Field(min_length=1)]
    force: Annotated[list[Push], Field(min_length=1)]
    torque: Annotated[list[Push], Field(min_length=1)]
    door: Door
    finger: Finger


def read_probe(path: Path) -> ProbeFile:
    """The content of a probe's file. Raises ProbeError with the first fault."""
    try:
        return ProbeFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ProbeError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ProbeError(f"{path} is not the output of the probe: {where}: {first['msg'].lower()}") from None
