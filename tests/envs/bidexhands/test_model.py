"""The scenes: the hand's mass, damping and tendons, what touches what, and what a unit of action does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import envs
from envs.bidexhands import hand as hand_module
from envs.bidexhands.control import find_controls, forearm_wrenches, joint_targets
from envs.bidexhands.hand import ACTUATED, JOINTS, assets_folder, named
from envs.bidexhands.scene import HANDS, Scene
from envs.bidexhands.tasks import KINDS, Task

TASKS = tuple(KINDS)


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    return {task: Task(task, "v1").build_scene() for task in TASKS}


@pytest.fixture(scope="module")
def scenes_0() -> dict[str, Scene]:
    return {task: Task(task, "v0").build_scene() for task in TASKS}


def at_reset(scene: Scene) -> mujoco.MjData:
    data = mujoco.MjData(scene.model)
    data.qpos[:] = scene.reset_positions
    data.ctrl[:] = scene.reset_targets
    mujoco.mj_forward(scene.model, data)
    return data


def first(model: mujoco.MjModel, joint: str) -> int:
    return int(model.joint(joint).dofadr[0])


@pytest.mark.parametrize(
    ("task", "sizes"),
    [
        ("bottle-cap", (71, 68)),
        ("door-open-inward", (64, 62)),
        ("door-open-outward", (64, 62)),
        ("pen", (70, 67)),
    ],
)
def test_sizes(scenes: dict[str, Scene], task: str, sizes: tuple[int, int]) -> None:
    model = scenes[task].model
    assert (model.nq, model.nv) == sizes
    assert (model.nu, model.ntendon, model.nsensor) == (40, 8, 10)
    assert model.opt.timestep == 1 / 120


@pytest.mark.parametrize("side", HANDS)
def test_a_hand_weighs_five_kilograms_centred_where_its_free_joint_is(
    scenes: dict[str, Scene], scenes_0: dict[str, Scene], side: str
) -> None:
    """With the thumb straight the centre of mass is 0.6 mm away."""
    for scene, tolerance in ((scenes_0["pen"], 2e-4), (scenes["bottle-cap"], 2e-4), (scenes["pen"], 6e-4)):
        data = at_reset(scene)
        base = scene.model.body(f"{side}/base")
        assert_allclose(base.subtreemass, 5.011, atol=5e-4)
        assert (
            np.linalg.norm(data.body(f"{side}/base").subtree_com - data.body(f"{side}/base").xpos) < tolerance
        )


@pytest.mark.parametrize("side", HANDS)
def test_bases_are_damped_by_their_mass_and_inertia(
    scenes: dict[str, Scene], scenes_0: dict[str, Scene], side: str
) -> None:
    """The inertia at the reset pose: with the thumb straight it is up to 1 % another."""
    bent, straight = (2.590, 2.628, 1.126), (2.605, 2.650, 1.120)
    expected = [(scene, bent if task == "bottle-cap" else straight) for task, scene in scenes.items()]
    for scene, angular in [*expected, *((scene, bent) for scene in scenes_0.values())]:
        start = first(scene.model, f"{side}/base")
        assert_allclose(scene.model.dof_damping[start : start + 3], 501.1, atol=0.05)
        assert_allclose(scene.model.dof_damping[start + 3 : start + 6], angular, atol=0.001)


def test_hands_do_not_feel_gravity_and_objects_do(scenes: dict[str, Scene]) -> None:
    scene = scenes["pen"]
    data = at_reset(scene)
    data.qpos[first_position(scene.model, "object") + 2] = 2.0
    for _ in range(12):
        mujoco.mj_step(scene.model, data)
    assert_allclose(data.joint("object").qvel[2], -9.81 * 12 / 120, rtol=1e-3)
    assert np.abs(data.joint("right/base").qvel).max() < 0.02


def first_position(model: mujoco.MjModel, joint: str) -> int:
    return int(model.joint(joint).qposadr[0])


@pytest.mark.parametrize("side", HANDS)
def test_joints_actuators_and_their_limits(scenes: dict[str, Scene], side: str) -> None:
    model = scenes["bottle-cap"].model
    dofs = np.array([first(model, named(side, joint)) for joint in JOINTS])
    assert_array_equal(dofs, np.arange(dofs[0], dofs[0] + 24))
    assert_allclose(model.dof_damping[dofs], [0.5] * 2 + [0.1] * 22)
    assert_allclose(model.dof_armature[dofs], [0.005] * 2 + [0.001] * 22)
    actuators = [model.actuator(named(side, f"A_{joint}")) for joint in ACTUATED]
    assert [actuator.gainprm[0] for actuator in actuators] == [5] * 2 + [1] * 18
    assert_allclose(
        [actuators[0].forcerange[1], actuators[4].forcerange[1], actuators[15].forcerange[1]],
        [4.785, 0.7245, 2.3722],
    )


@pytest.mark.parametrize("finger", ["FF", "MF", "RF", "LF"])
def test_the_last_joint_of_a_finger_follows_the_one_before(scenes: dict[str, Scene], finger: str) -> None:
    """0.00705 J0 = 0.00805 J1, give or take 0.001: J1 = 1 takes J0 to between 1.00 and 1.28, up to the
    limit's softness."""
    scene = scenes["door-open-outward"]
    data = at_reset(scene)
    data.actuator(named("left", f"A_{finger}J1")).ctrl[0] = 1.0
    for _ in range(240):
        mujoco.mj_step(scene.model, data)
    near, last = (data.joint(named("left", f"{finger}{joint}")).qpos[0] for joint in ("J1", "J0"))
    assert near > 0.9
    assert 0.00805 * near - 0.0011 < 0.00705 * last < 0.00805 * near + 0.0011


@pytest.mark.parametrize("task", TASKS)
def test_the_overview_has_both_hands_and_the_object_in_view(scenes: dict[str, Scene], task: str) -> None:
    data = at_reset(scenes[task])
    camera = data.cam("overview")
    for body in (named("right", "palm"), named("left", "palm"), "object"):
        x, y, z = camera.xmat.reshape(3, 3).T @ (data.body(body).xpos - camera.xpos)
        assert z < 0
        half = np.tan(np.deg2rad(20))
        assert abs(y / z) < half
        assert abs(x / z) < half * 4 / 3


def test_reset_is_the_original_pose(scenes: dict[str, Scene], scenes_0: dict[str, Scene]) -> None:
    """All joints at 0 but the thumbs' in bottle-cap, and in every task of version 0."""
    bent = {"THJ4": -1.04, "THJ3": 1.2, "THJ0": -1.57}
    expected = [(scene, bent if task == "bottle-cap" else {}) for task, scene in scenes.items()]
    for scene, thumb in [*expected, *((scene, bent) for scene in scenes_0.values())]:
        data = at_reset(scene)
        for side in HANDS:
            angles = {joint: data.joint(named(side, joint)).qpos[0] for joint in JOINTS}
            assert {joint: angle for joint, angle in angles.items() if angle} == thumb
        assert not data.qvel.any()
        assert_allclose(data.qfrc_actuator, 0, atol=1e-12)
    data = at_reset(scenes["bottle-cap"])
    assert_allclose(data.body(named("right", "hand mount")).xpos, (0, -1.05, 0.5), atol=1e-9)
    assert_allclose(data.body(named("left", "hand mount")).xpos, (0, -0.25, 0.45), atol=1e-9)


def may_touch(model: mujoco.MjModel, first_geom: int, second_geom: int) -> bool:
    pairs = ((first_geom, second_geom), (second_geom, first_geom))
    return any(model.geom_contype[one] & model.geom_conaffinity[other] for one, other in pairs)


@pytest.mark.parametrize("task", TASKS)
def test_what_touches_what(scenes: dict[str, Scene], task: str) -> None:
    model = scenes[task].model
    collides = [geom for geom in range(model.ngeom) if model.geom_contype[geom]]
    owner = [model.body(model.body_rootid[model.geom_bodyid[geom]]).name for geom in range(model.ngeom)]
    for one in collides:
        for other in collides:
            assert may_touch(model, one, other) == (owner[one] != owner[other]), (one, other)
    per_hand = [sum(owner[geom] == f"{side}/base" for geom in collides) for side in HANDS]
    assert per_hand == [20, 20]
    drawn_only = [model.geom(geom).name for geom in range(model.ngeom) if geom not in collides]
    assert len(drawn_only) == 50
    assert all("/robot0:V_" in name for name in drawn_only)


def test_masses_of_objects_from_their_volume(scenes: dict[str, Scene]) -> None:
    """500 kg/m3 times pi r^2 h of the cylinders; a leaf's panel and two handles of a bar and two feet."""
    pen = 500 * np.pi * 0.0105**2 * 0.306
    assert_allclose(scenes["pen"].model.body("object").mass, pen, rtol=1e-6)
    bottle = 500 * np.pi * (0.0377**2 * 0.132 + 0.034**2 * 0.028 + 0.011**2 * 0.015)
    assert_allclose(scenes["bottle-cap"].model.body("object").mass, bottle, rtol=1e-6)
    handle = 0.035 * (0.3 * 0.02 + 2 * 0.02 * 0.05)
    leaf = 500 * (0.4405 * 0.925 * 0.0176 + 2 * handle)
    assert_allclose(scenes["door-open-inward"].model.body("left_leaf").mass, leaf, rtol=1e-6)


@pytest.mark.parametrize(
    ("task", "friction", "condim"),
    [("bottle-cap", 2.0, 6), ("door-open-inward", 0.55, 4), ("door-open-outward", 0.55, 4), ("pen", 1.0, 6)],
)
def test_contacts_of_objects(scenes: dict[str, Scene], task: str, friction: float, condim: int) -> None:
    """Whatever touches an object does so with the object's friction, in elliptic cones."""
    scene = scenes[task]
    assert (scene.model.opt.cone, scene.model.opt.impratio) == (mujoco.mjtCone.mjCONE_ELLIPTIC, 10)
    data = at_reset(scene)
    geom = int(scene.model.body("left_leaf" if task.startswith("door") else "object").geomadr[0])
    palm = data.geom(named("left", "C_palm0")).xpos
    start = first_position(scene.model, "left/base")
    data.qpos[start : start + 3] += data.geom_xpos[geom] - palm
    mujoco.mj_forward(scene.model, data)
    touching = [contact for contact in data.contact if geom in (contact.geom1, contact.geom2)]
    assert touching
    for contact in touching:
        assert contact.dim == condim
        assert_allclose(contact.friction[:3], (friction, friction, 0.005))


@pytest.mark.parametrize(
    ("task", "joint", "travel"),
    [
        ("bottle-cap", "cap_slide", 0.064),
        ("pen", "cap_slide", 0.492),
        ("door-open-inward", "left_leaf", np.pi / 2),
    ],
)
def test_how_far_parts_move(scenes: dict[str, Scene], task: str, joint: str, travel: float) -> None:
    assert_allclose(scenes[task].model.joint(joint).range, (0, travel))
    own = Task(task, "v1").own
    dof = first(scenes[task].model, joint)
    assert (scenes[task].model.joint(joint).stiffness[0], scenes[task].model.dof_damping[dof]) == (
        own.object_spring,
        own.object_damping,
    )


@pytest.mark.parametrize(
    ("task", "force", "torque"),
    [
        ("bottle-cap", 500 / 3, 5 / 3),
        ("pen", 2500 / 3, 5 / 3),
        ("door-open-inward", 2500 / 3, 25 / 3),
        ("door-open-outward", 2500 / 3, 25 / 3),
    ],
)
def test_what_an_action_stands_for(scenes: dict[str, Scene], task: str, force: float, torque: float) -> None:
    definition = Task(task, "v1")
    controls = find_controls(scenes[task].model, definition.constants.hand, definition.own)
    actions = np.zeros((1, 2, 26))
    actions[0, 0, :6] = (1, 0, -0.5, 0, 1, 0)
    actions[0, 1, 6:] = 1
    actions[0, 0, 6] = -1
    assert_allclose(forearm_wrenches(actions, controls)[0, 0], (force, 0, -force / 2, 0, torque, 0))
    targets = joint_targets(actions, controls)[0]
    assert_allclose(targets[1, :4], (0.14, 0.489, 0.349, 1.571))
    assert_allclose(targets[0, :4], (-0.489, (0.489 - 0.698) / 2, 0, 1.571 / 2))
    assert [scenes[task].model.body(body).name for body in controls.forearms] == [
        named(side, "forearm") for side in HANDS
    ]


def test_a_unit_force_moves_a_base_like_a_velocity_command() -> None:
    """m v' = F - 100 m v, integrated implicitly with h = 1/120: v <- (v + F h / m) / (1 + 100 h), twice a
    step."""
    env = envs.make("door-open-outward")
    env.reset()
    action = np.zeros((1, 2, 26), dtype=np.float32)
    action[0, 0, 1] = 1
    expected, seen, speed = [], [], 0.0
    for _ in range(3):
        for _ in range(2):
            speed = (speed + 2500 / 3 / 5.011 / 120) / (1 + 100 / 120)
        expected.append(speed)
        env.step(action)
        seen.append(env.worlds.data[0].joint("right/base").qvel[1])  # type: ignore[attr-defined]
    assert_allclose(expected, (1.17, 1.52, 1.62), atol=0.01)
    assert_allclose(seen, expected, rtol=0.02)


def test_without_the_hand_model_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hand_module, "find_spec", lambda _: None)
    with pytest.raises(
        envs.MissingExtraError,
        match=r"gymnasium-robotics, which is not installed: pip install -e '\.\[mujoco\]'",
    ):
        assets_folder()
    monkeypatch.setattr(
        hand_module, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    )
    with pytest.raises(envs.MissingExtraError, match=r"without the hand model \(shared.xml is not in"):
        assets_folder()


def test_the_installed_package_has_the_hand() -> None:
    found = importlib.util.find_spec("gymnasium_robotics")
    assert found is not None
    assert found.origin is not None
    assert (Path(found.origin).parent / "envs/assets/hand/robot.xml").samefile(assets_folder() / "robot.xml")
