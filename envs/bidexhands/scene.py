"""A task's model: two floating hands, an object, perhaps a table, and what a camera needs."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float
from mujoco import mjtCamLight, mjtGeom, mjtObj, mjtSensor

from envs.bidexhands.constants import Constants, Hand, TaskConstants, Thumb
from envs.bidexhands.hand import ALL_BITS, FINGERS, FIXED_BIT, build_hand, named

HANDS = ("right", "left")
"""In the order of the agents."""

CONTACT_FIELDS = ("FORCE", "TORQUE", "POS")
"""What a fingertip's contact sensor reports, 3 numbers each: the net wrench and its point of action."""


@dataclass(frozen=True)
class View:
    """Where the camera "overview" is, and the point it looks at."""

    eye: tuple[float, float, float]
    target: tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """A compiled model and the joint positions and targets an episode starts with."""

    model: mujoco.MjModel
    reset_positions: Float[np.ndarray, " positions"]
    reset_targets: Float[np.ndarray, " actuators"]


def build_scene(
    constants: Constants, task: TaskConstants, view: View, add_object: Callable[[mujoco.MjSpec], None]
) -> Scene:
    """Assemble and compile; `add_object` adds the body "object" and its support."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    _set_simulation(spec, constants)
    _set_stage(spec, view)
    for hand, position, rpy in (
        ("right", task.right_position, task.right_rpy),
        ("left", task.left_position, task.left_rpy),
    ):
        _add_hand(spec, hand, position, rpy, constants.hand)
    add_object(spec)
    model = spec.compile()
    positions = _reset_positions(model, task.reset_thumb or constants.hand.reset_thumb)
    _damp_bases(model, positions, constants.hand)
    return Scene(model, positions, positions[model.jnt_qposadr[model.actuator_trnid[:, 0]]])


def quaternion(rpy: Sequence[float]) -> Float[np.ndarray, " 4"]:
    """Rz(yaw) Ry(pitch) Rx(roll)."""
    result = np.empty(4)
    mujoco.mju_euler2Quat(result, np.asarray(rpy, dtype=float), "XYZ")
    return result


def _set_simulation(spec: mujoco.MjSpec, constants: Constants) -> None:
    simulation, option = constants.simulation, spec.option
    option.timestep = simulation.timestep
    option.integrator = getattr(mujoco.mjtIntegrator, f"mjINT_{simulation.integrator.upper()}")
    option.cone = getattr(mujoco.mjtCone, f"mjCONE_{simulation.cone.upper()}")
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.impratio = simulation.impratio
    option.iterations = simulation.solver_iterations
    option.ls_iterations = simulation.linesearch_iterations
    option.tolerance = simulation.solver_tolerance
    # MuJoCo would silently reset after a non-finite state
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET


def _add_hand(
    spec: mujoco.MjSpec, hand: str, position: Sequence[float], rpy: Sequence[float], constants: Hand
) -> None:
    """A hand floating about its centre of mass, mount at `position`, turned by `rpy` and its own rotation."""
    model = build_hand(hand, constants)
    mount = model.body("robot0:hand mount")
    own_turn, turn, offset = np.empty(4), np.empty(4), np.empty(3)
    mujoco.mju_euler2Quat(own_turn, mount.alt.euler, "xyz")
    mount.pos, mount.alt.type = (0, 0, 0), mujoco.mjtOrientation.mjORIENTATION_QUAT
    mujoco.mju_mulQuat(turn, quaternion(rpy), own_turn)
    mujoco.mju_rotVecQuat(offset, np.array(constants.free_joint), turn)
    base = spec.worldbody.add_body(name=f"{hand}/base", pos=np.asarray(position) + offset, quat=turn)
    base.add_freejoint(name=f"{hand}/base")
    frame = base.add_frame(pos=-np.array(constants.free_joint))
    spec.attach(model, prefix=f"{hand}/", frame=frame)
    data_fields = sum(
        1 << getattr(mujoco.mjtConDataField, f"mjCONDATA_{field}").value for field in CONTACT_FIELDS
    )
    for finger in FINGERS:
        sensor = spec.add_sensor(name=f"{hand}/{finger}tip", type=mjtSensor.mjSENS_CONTACT)
        sensor.objtype, sensor.objname = mjtObj.mjOBJ_BODY, named(hand, f"{finger}distal")
        # what to report, then 3: reduce all contacts to one net wrench, then one slot
        sensor.intprm[:3] = (data_fields, 3, 1)


def _reset_positions(model: mujoco.MjModel, thumb: Thumb) -> Float[np.ndarray, " positions"]:
    """All joints at 0 but the thumbs', THJ4 to THJ0."""
    positions = model.qpos0.copy()
    for hand in HANDS:
        for joint, angle in zip(("THJ4", "THJ3", "THJ2", "THJ1", "THJ0"), thumb, strict=True):
            positions[model.joint(named(hand, joint)).qposadr] = angle
    return positions


def _damp_bases(model: mujoco.MjModel, positions: Float[np.ndarray, " positions"], constants: Hand) -> None:
    """Damping of rate c on every part of a hand is -c M v of its base; M is the hand's at the reset pose."""
    data = mujoco.MjData(model)
    data.qpos[:] = positions
    mujoco.mj_forward(model, data)
    inertia = np.empty((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    rates = np.repeat([constants.linear_damping_rate, constants.angular_damping_rate], 3)
    for hand in HANDS:
        start = model.joint(f"{hand}/base").dofadr[0]
        model.dof_damping[start : start + 6] = rates * np.diag(inertia)[start : start + 6]


def _set_stage(spec: mujoco.MjSpec, view: View) -> None:
    """Floor, sky, lights and the camera "overview"; only the floor can be touched."""
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.93, 0.95, 0.97), rgb2=(0.62, 0.70, 0.78), width=64, height=64,
    )  # fmt: skip
    spec.add_texture(
        name="floor", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=(0.80, 0.81, 0.82), rgb2=(0.74, 0.75, 0.77), width=256, height=256,
    )  # fmt: skip
    floor = spec.add_material(name="floor", texrepeat=(4, 4), texuniform=True)
    floor.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    ground = spec.worldbody.add_geom(
        name="floor", type=mjtGeom.mjGEOM_PLANE, size=(3, 3, 0.1), material="floor"
    )
    ground.contype, ground.conaffinity = FIXED_BIT, ALL_BITS & ~FIXED_BIT
    sun = {"type": mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, "specular": (0.1, 0.1, 0.1)}
    spec.worldbody.add_light(
        pos=(1.0, -0.5, 3.0), dir=(-0.4, 0.2, -0.9), diffuse=(0.5, 0.5, 0.5), castshadow=True, **sun
    )
    spec.worldbody.add_light(
        pos=(1.0, -2.0, 2.5), dir=(-0.3, 0.6, -0.7), diffuse=(0.15, 0.15, 0.15), castshadow=False, **sun
    )
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = (0.3, 0.3, 0.3), (0.2, 0.2, 0.2)
    spec.visual.quality.shadowsize = 4096
    spec.visual.map.znear, spec.visual.map.shadowclip = 0.02, 0.6
    target = spec.worldbody.add_body(name="stage", pos=view.target)
    spec.worldbody.add_camera(
        name="overview", pos=view.eye, fovy=40, mode=mjtCamLight.mjCAMLIGHT_TARGETBODY, targetbody=target.name
    )
