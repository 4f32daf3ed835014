"""The versioned constants, read from `constants/vN.yaml` and validated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from envs.interface import EnvironmentsError

Pair = tuple[float, float]
Vector = tuple[float, float, float]
Thumb = tuple[float, float, float, float, float]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class ConstantsError(EnvironmentsError):
    """A file of constants cannot be used: an unknown or missing key, or a value out of range."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Simulation(_Section):
    """Time and solver."""

    timestep: Positive
    substeps: Annotated[int, Field(gt=0)]
    integrator: Literal["euler", "implicit", "implicitfast"]
    cone: Literal["elliptic", "pyramidal"]
    impratio: Positive
    solver_iterations: Annotated[int, Field(gt=0)]
    linesearch_iterations: Annotated[int, Field(gt=0)]
    solver_tolerance: NotNegative


class Hand(_Section):
    """The floating base, the scale of the actions on it, and the reset pose."""

    free_joint: Vector
    linear_damping_rate: NotNegative
    angular_damping_rate: NotNegative
    friction: NotNegative
    force_scale: Positive
    torque_scale: Positive
    reset_thumb: Thumb


class Observation(_Section):
    """Scales, the clip, and the points that represent a palm and a fingertip."""

    joint_velocity_scale: Positive
    force_scale: Positive
    object_spin_scale: Positive
    clip: Positive
    palm_point: Vector
    fingertip_point: Vector


class TaskConstants(_Section):
    """Common to the four tasks; a task's `reset_thumb` replaces the hand's."""

    reset_thumb: Thumb | None = None
    episode_limit: Annotated[int, Field(gt=0)]
    control_period: Positive
    force_gain: Positive
    torque_gain: Positive
    right_position: Vector
    right_rpy: Vector
    left_position: Vector
    left_rpy: Vector
    object_position: Vector
    object_rpy: Vector
    object_density: Positive
    object_spring: NotNegative
    object_damping: NotNegative
    object_friction: Positive
    object_torsional_friction: NotNegative
    object_rolling_friction: NotNegative
    object_condim: Annotated[int, Field(ge=1, le=6)]


class BottleCap(TaskConstants):
    """A bottle on the left palm, its cap to be lifted by the right hand."""

    body: Vector
    shoulder: Vector
    neck: Vector
    cap: Vector
    cap_link: Vector
    cap_travel: Positive
    table_size: Vector
    table_position: Vector
    cap_reference: float
    reward_offset: float
    lift_gain: float
    lift_within: float
    success_distance: float
    failure_height: float
    failure_right_distance: float
    failure_left_distance: float


class Door(TaskConstants):
    """A double door with a handle a leaf; which way it opens depends on the side that faces the hands."""

    right_hinge: Vector
    left_hinge: Vector
    leaf_size: Vector
    leaf_gap: float
    leaf_centre: float
    leaf_travel: Positive
    handle_span: Pair
    handle_height: Positive
    handle_depth: Positive
    handle_thickness: Positive
    frame_rail: Vector
    frame_heights: Pair
    handle_point: Vector
    reward_offset: float
    open_gain: float
    open_within: float
    success_distance: float
    failure_distance: float


class Pen(TaskConstants):
    """A pen on a table, held by the left hand while the right one pulls off its cap."""

    body: Vector
    cap: Vector
    clip_size: Vector
    cap_travel: Positive
    table_size: Vector
    table_position: Vector
    right_point: float
    left_point: float
    reach_rate: float
    pull_gain: float
    pull_offset: float
    pull_within: float
    success_pull: float
    failure_distance: float


class Constants(_Section):
    """The content of a file."""

    version: Annotated[int, Field(ge=0)]
    simulation: Simulation
    hand: Hand
    observation: Observation
    bottle_cap: Annotated[BottleCap, Field(alias="bottle-cap")]
    door_open_outward: Annotated[Door, Field(alias="door-open-outward")]
    door_open_inward: Annotated[Door, Field(alias="door-open-inward")]
    pen: Pen

    def task(self, name: str) -> BottleCap | Door | Pen:
        """The section of a task, by the task's name."""
        return getattr(self, name.replace("-", "_"))


def load_constants(path: Path) -> Constants:
    """The constants in a file, which has all of them, or an earlier version as `based_on` and what differs.

    Raises:
        ConstantsError: the file is absent, is not YAML, is based on no earlier version, or has a bad key.
    """
    try:
        constants = Constants.model_validate(_read(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConstantsError(f"{path.name}: {where}: {first['msg'].lower()}") from None
    if path.name != f"v{constants.version}.yaml":
        version = constants.version
        raise ConstantsError(f"{path.name} calls itself version {version}: its name must be v{version}.yaml")
    return constants


def _read(path: Path) -> Any:
    """The content of a file, completed from the version it is based on."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConstantsError(f"there is no file of constants {path}") from None
    except yaml.YAMLError as error:
        raise ConstantsError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or "based_on" not in content:
        return content
    version, base = content.get("version"), content.pop("based_on")
    if not (isinstance(version, int) and isinstance(base, int) and base < version):
        raise ConstantsError(
            f"{path.name}: based_on: must be an earlier version than its own, {version}, not {base}"
        )
    return _changed(_read(path.with_name(f"v{base}.yaml")), content)


def _changed(base: Any, changes: Any) -> Any:
    """`base` with the values of `changes`, section by section."""
    if not (isinstance(base, dict) and isinstance(changes, dict)):
        return changes
    return base | {key: _changed(base.get(key), value) for key, value in changes.items()}
