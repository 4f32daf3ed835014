"""From a probe to constants: the probe on the stand-in, the fit on MuJoCo's own dynamics, the file it
writes."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import yaml
from numpy.testing import assert_allclose

from envs.bidexhands.constants import load_constants
from envs.bidexhands.presets import FOLDER
from envs.bidexhands.tasks import Task
from envs.isaac_bridge import fit
from envs.isaac_bridge.probe_file import Body, Door, ProbeError, read_probe

STAND_IN = Path(__file__).parent / "isaac_stand_in"
PROBE = Path(fit.__file__).with_name("probe.py")
H = 1 / 120
SHIPPED = ("v0.yaml", "v1.yaml")
DOORS = ("door-open-outward", "door-open-inward")


def python38() -> str:
    found = shutil.which("python3.8")
    if (
        found is None
        or subprocess.run([found, "-c", "import numpy"], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("no python3.8 with numpy on PATH")
    return found


def probe(output: Path, python: str = sys.executable, **settings: str) -> subprocess.CompletedProcess[str]:
    folders = [STAND_IN / "common", STAND_IN / "original", STAND_IN / "torch_substitute"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))} | settings
    command = [python, str(PROBE), "--output", output.name, "--seed", "4"]
    return subprocess.run(
        command, cwd=output.parent, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the probe writes about the stand-in with the original's constants."""
    path = tmp_path_factory.mktemp("probe") / "probe.json"
    done = probe(path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def constants(tmp_path: Path) -> Path:
    """The shipped versions, as they were before anything was fitted."""
    folder = tmp_path / "constants"
    folder.mkdir()
    for name in SHIPPED:
        shutil.copy(FOLDER / name, folder)
    return folder


@pytest.mark.parametrize("interpreter", [lambda: sys.executable, python38], ids=["this python", "3.8"])
@pytest.mark.parametrize(
    ("settings", "expected", "kind"),
    [
        ({"ISAAC_STAND_IN_DAMPING": "100"}, (100, 100, 5, 1), "as a force, implicitly, at 100 1/s"),
        # 100 1/s taken off after the forces of a step of 1/120 s: 100 / (1 - 100/120) = 600
        (
            {"ISAAC_STAND_IN_DAMPED": "afterwards", "ISAAC_STAND_IN_SPRING": "none"},
            (600, 600, 0, 0),
            r"v \(1 - c h\), at c = 100 1/s",
        ),
    ],
)
def test_what_the_stand_in_was_given_is_found_again(
    settings: dict[str, str],
    expected: tuple[float, ...],
    kind: str,
    interpreter: Callable[[], str],
    tmp_path: Path,
    constants: Path,
) -> None:
    done = probe(tmp_path / "probe.json", interpreter(), **settings)
    assert done.returncode == 0, done.stderr
    path = fit.write_version(tmp_path / "probe.json", constants)
    found = load_constants(path)
    assert_allclose(
        [found.hand.linear_damping_rate, found.hand.angular_damping_rate], expected[:2], rtol=1e-4
    )
    for door in map(found.task, DOORS):
        assert_allclose([door.object_spring, door.object_damping], expected[2:], rtol=1e-4)
    assert [line for line in path.read_text().splitlines() if kind.replace("\\", "") in line]


def test_the_probe_records_where_it_ran(measured: Path) -> None:
    content = json.loads(measured.read_text())
    assert content["versions"] | {"python": ""} == {
        "isaacgym": "1.0rc4", "torch": "0.0.0+substitute", "numpy": np.__version__,
        "python": "", "device": "cpu",
    }  # fmt: skip
    assert (content["task"], content["seed"], content["dt"], content["substeps"]) == (
        "ShadowHandDoorOpenOutward",
        4,
        1 / 60,
        2,
    )
    # The right hand was pushed with 833 N and turned with a quarter of 8.33 N m.
    assert_allclose([push["applied"] for push in content["force"]], np.eye(3) * 5000 / 6, rtol=1e-12)
    assert_allclose([push["applied"] for push in content["torque"]], np.eye(3) * 25 / 12, rtol=1e-12)
    assert [len(push["velocity"]) for push in content["force"]] == [10, 10, 10]
    # The finger goes half of the rest of the way with each of the stand-in's steps, from 0.1 to 0.2.
    assert_allclose(content["finger"]["angle"], 0.2 - 0.1 * 0.5 ** np.arange(1, 31), atol=1e-6)
    assert content["finger"]["target"] == pytest.approx(0.2)


def test_the_probe_overwrites_nothing_and_names_what_is_missing(measured: Path, tmp_path: Path) -> None:
    before = measured.read_bytes()
    done = probe(measured)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("probe.json exists: choose another name")
    assert measured.read_bytes() == before
    done = probe(tmp_path / "other.json", ISAAC_STAND_IN_FAULT="spaces")
    assert (done.returncode, "the bridge was written for [(218,), (218,)]" in done.stderr) == (1, True)
    assert not (tmp_path / "other.json").exists()


def test_step_response_of_a_unit_base_force() -> None:
    """833.3 N on 5.011 kg: the velocities that the port's prototype showed, and the two limits between which
    a probe decides."""
    acceleration = np.array([2500 / 3 / 5.011])
    assert_allclose(fit.step_response(acceleration, 100.0, H, 2, 3)[0], [1.17, 1.52, 1.62], atol=0.005)
    assert fit.step_response(acceleration, 100.0, H, 2, 50)[0, -1] == pytest.approx(1.66, abs=0.005)
    assert fit.step_response(acceleration, 600.0, H, 2, 50)[0, -1] == pytest.approx(0.28, abs=0.005)


FLOATING = """
<mujoco>
  <option timestep="{h}" integrator="implicitfast" gravity="0 0 0"/>
  <worldbody><body>
    <freejoint/><inertial pos="0 0 0" mass="5.011" diaginertia="0.0259 0.0263 0.0113"/>
  </body></worldbody>
</mujoco>
"""
HINGED = """
<mujoco>
  <option timestep="{h}" integrator="implicitfast" gravity="0 0 0"/>
  <worldbody><body>
    <joint type="hinge" axis="0 0 1" stiffness="{stiffness}" damping="{damping}"/>
    <inertial pos="0.2 -0.1 0.3" mass="3.6" diaginertia="0.05 0.04 0.06"/>
  </body></worldbody>
</mujoco>
"""


@pytest.mark.parametrize("rate", [3.0, 37.5, 100.0, 600.0])
@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_damping_of_a_floating_body_in_mujoco_is_found_again(rate: float, noise: float) -> None:
    model = mujoco.MjModel.from_xml_string(FLOATING.format(h=H))
    inertia = np.array([5.011] * 3 + [0.0259, 0.0263, 0.0113])
    model.dof_damping[:] = rate * inertia
    speeds, random = np.zeros((6, 10)), np.random.default_rng(0)
    wrench = np.array([2500 / 3] * 3 + [25 / 12] * 3)
    for axis in range(6):
        data = mujoco.MjData(model)
        data.xfrc_applied[1, axis] = wrench[axis]
        for step in range(10):
            mujoco.mj_step(model, data, 2)
            speeds[axis, step] = data.qvel[axis]
    speeds *= 1 + noise * random.standard_normal(speeds.shape)
    for kind in (slice(0, 3), slice(3, 6)):
        found = fit.fit_damping((wrench / inertia)[kind], speeds[kind], H, 2)
        assert found.value == pytest.approx(rate, rel=0.01 if noise else 1e-6)
        assert found.residual < (0.01 if noise else 1e-6)


@pytest.mark.parametrize(
    ("stiffness", "damping", "noise"),
    [
        (5.0, 1.0, 0.0),
        (5.0, 1.0, 0.002),
        (0.0, 0.7, 0.0),
        (12.0, 0.0, 0.0),
        (0.0, 0.0, 0.0),
        (0.0, 0.0, 0.002),
    ],
)
def test_spring_of_a_hinge_in_mujoco_is_found_again(stiffness: float, damping: float, noise: float) -> None:
    model = mujoco.MjModel.from_xml_string(HINGED.format(h=H, stiffness=stiffness, damping=damping))
    data = mujoco.MjData(model)
    data.qpos[0], data.qvel[0] = 0.3, 1.0
    random = np.random.default_rng(3)
    rows = [(0.3, 1.0)]
    for _ in range(60):
        mujoco.mj_step(model, data, 2)
        rows.append((float(data.qpos[0] * (1 + noise * random.standard_normal())), float(data.qvel[0])))
    # The same leaf in a rotated and shifted frame: z is where z was, x points along y.
    leaf = Body(
        mass=3.6, centre=(-0.1, -0.2, 0.3), inertia=((0.04, 0, 0), (0, 0.05, 0), (0, 0, 0.06)),
        position=(7.0, 8.0, 9.0), orientation_xyzw=(0.0, 0.0, 0.5**0.5, 0.5**0.5),
    )  # fmt: skip
    door = Door(
        leaves=(leaf, leaf), drive={}, angle=[(a, a) for a, _ in rows], speed=[(v, v) for _, v in rows]
    )
    spring, damper = fit.fit_door(door, H, 2)
    assert_allclose([spring.value, damper.value], [stiffness, damping], rtol=0.01, atol=fit.NOTHING)


def test_inertia_by_hand() -> None:
    """A rod along its x, turned to lie along the world's z; then its inertia about a point off it."""
    turn = (0.0, -(0.5**0.5), 0.0, 0.5**0.5)  # x to z
    rod = Body(
        mass=2.0,
        centre=(1.0, 0, 0),
        inertia=((0.0, 0, 0), (0, 0.3, 0), (0, 0, 0.3)),
        position=(0, 0, 5.0),
        orientation_xyzw=turn,
    )
    assert_allclose(rod.centre_in_world(), [0, 0, 6], atol=1e-12)
    assert_allclose(rod.inertia_about(np.array([0, 0, 6.0])), np.diag([0.3, 0.3, 0]), atol=1e-12)
    about = rod.inertia_about(np.array([0.5, 0, 7.0]))  # away by (-0.5, 0, -1)
    assert_allclose(about, [[0.3 + 2, 0, -1], [0, 0.3 + 2.5, 0], [-1, 0, 0.5]], atol=1e-12)


def test_a_new_version_changes_four_constants_and_says_why(measured: Path, constants: Path) -> None:
    (constants / "v3.yaml").write_text("taken")
    before = {name: (constants / name).read_text() for name in (*SHIPPED, "v3.yaml")}
    content = json.loads(measured.read_text())
    for push in content["force"]:
        push["velocity"] = (np.array(push["velocity"]) / 2).tolist()
    halved = constants.parent / "halved.json"
    halved.write_text(json.dumps(content))
    path = fit.write_version(halved, constants)
    assert (path.name, fit.write_version(measured, constants).name) == ("v4.yaml", "v5.yaml")
    assert {name: (constants / name).read_text() for name in before} == before
    new = load_constants(path).model_dump(by_alias=True)
    assert new["hand"]["linear_damping_rate"] == pytest.approx(
        200, rel=0.1
    )  # it moves half as fast in the end, not after a step
    new["hand"]["linear_damping_rate"] = 100.0
    assert new == load_constants(constants / "v1.yaml").model_dump(by_alias=True) | {"version": 4}
    text = path.read_text()
    digest = subprocess.run(["sha256sum", halved], capture_output=True, text=True, check=True).stdout.split()[
        0
    ]
    assert f"# Probe: SHA-256 {digest}\n" in text
    assert "isaacgym 1.0rc4" in text
    share = float(
        next(line for line in text.splitlines() if line.startswith("# linear_damping_rate"))
        .split(": ")[1]
        .split(" %")[0]
    )
    assert 1 < share < 10  # no rate fits velocities that were halved


def test_the_stand_ins_constants_are_the_shipped_ones(measured: Path, constants: Path) -> None:
    """It has the original's values."""
    revised, old = (
        load_constants(fit.write_version(measured, constants)),
        load_constants(constants / "v1.yaml"),
    )
    assert revised.model_dump() == old.model_dump() | {"version": 2}


@pytest.mark.parametrize("rate", [100.0, 600.0])
def test_the_ports_own_hand_gives_back_its_damping(rate: float) -> None:
    """Both readings of Isaac Gym's damping, as the port would have them: the forearm pushed for 10 control
    steps."""
    task = Task("door-open-outward", "v1")
    damped = {"linear_damping_rate": rate, "angular_damping_rate": rate}
    task.constants = task.constants.model_copy(update={"hand": task.constants.hand.model_copy(update=damped)})
    scene = task.build_scene()
    model, data = scene.model, mujoco.MjData(scene.model)
    data.qpos[:], data.ctrl[:] = scene.reset_positions, scene.reset_targets
    base, force = model.body("right/base").id, 2500 / 3
    data.xfrc_applied[model.body("right/robot0:forearm").id, 0] = force
    velocities = []
    for _ in range(10):
        mujoco.mj_step(model, data, 2)
        seen = mujoco.MjData(model)
        seen.qpos[:], seen.qvel[:] = data.qpos, data.qvel
        mujoco.mj_forward(model, seen)
        mujoco.mj_subtreeVel(model, seen)
        velocities.append(seen.subtree_linvel[base, 0])
    fitted = fit.fit_damping(
        np.array([force / model.body_subtreemass[base]]), np.array([velocities]), 1 / 120, 2
    )
    assert fitted.value == pytest.approx(rate, rel=0.01)


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return apply


NONSENSE = {
    "empty": (lambda _: "", "is not the output of the probe: the file"),
    "another file": (lambda _: '{"a": 1}', "is not the output of the probe"),
    "torn": (lambda text: text[:-40], "is not the output of the probe: the file"),
    "another version": (edited(lambda c: c.update(version=2)), "version: input should be 1"),
    "not a number": (
        lambda text: text.replace('"dt": 0.0', '"dt": NaN, "x": 0.0'),
        "is not the output of the probe",
    ),
    "endless": (
        edited(lambda c: c.update(substeps=10**9)),
        "substeps: input should be less than or equal to 100",
    ),
    "slow": (edited(lambda c: c.update(dt=1e9)), "dt: input should be less than or equal to 1"),
    "no rotation": (
        edited(lambda c: c["hand"][0].update(orientation_xyzw=[0, 0, 0, 0])),
        "hand.0.orientation_xyzw: value error, a rotation's quaternion has norm 1",
    ),
    "two lines": (
        edited(lambda c: c["versions"].update(isaacgym="1\nversion: 7")),
        "versions.isaacgym: string should match pattern",
    ),
    "a held door": (
        edited(lambda c: c["door"].update(angle=[[0.5, 0.5]] * len(c["door"]["angle"]))),
        "has a door that does not move though it was let go moving",
    ),
    "no time": (edited(lambda c: c.update(dt=0.0)), "dt: input should be greater than 0"),
    "no mass": (edited(lambda c: [body.update(mass=0.0) for body in c["hand"]]), "hand without mass"),
    "no inertia": (
        edited(lambda c: [body.update(inertia=[[0.0] * 3] * 3) for body in c["hand"]]),
        "inertia is not positive",
    ),
    "no force": (edited(lambda c: c["force"][1].update(applied=[0.0] * 3)), "one without force"),
    "fewer steps": (edited(lambda c: c["force"][1]["velocity"].pop()), "pushes of different lengths"),
    "at rest": (
        edited(lambda c: [p.update(velocity=[[0.0] * 3] * 10) for p in c["force"]]),
        "does not move the way it is pushed",
    ),
    "backwards": (
        edited(lambda c: [p.update(applied=(-np.array(p["applied"])).tolist()) for p in c["force"]]),
        "does not move the way",
    ),
    "noise": (
        edited(lambda c: [p["velocity"].reverse() for p in c["force"]]),
        "no damping of the base explains",
    ),
    "a trembling door": (
        edited(lambda c: c["door"].update(angle=[*[[0.3, 0.3], [0.9, 0.9]] * 30, [0.3, 0.3]])),
        "no spring of the door explains",
    ),
    "a shut door": (edited(lambda c: c["door"]["angle"].__setitem__(2, [0.0, 0.3])), "hardly ever free"),
    "an uneven door": (edited(lambda c: c["door"]["angle"].pop()), "do not belong together"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_is_refused_in_one_sentence(case: str, measured: Path, constants: Path) -> None:
    spoil, message = NONSENSE[case]
    path = constants.parent / "probe.json"
    path.write_text(spoil(measured.read_text()))
    with pytest.raises(ProbeError, match=message) as caught:
        fit.write_version(path, constants)
    assert "\n" not in str(caught.value)
    assert sorted(file.name for file in constants.iterdir()) == sorted(SHIPPED)


def test_numbers_are_written_so_that_yaml_reads_numbers() -> None:
    values = {
        "linear_damping_rate": 1234567.0,
        "angular_damping_rate": 6e16,
        "object_spring": 1e-5,
        "object_damping": 0.000123456789,
    }
    door = {"object_spring": 0.0, "object_damping": 0.000123457}
    assert yaml.safe_load(fit.changes(2, values)) == {
        "version": 2,
        "based_on": 1,
        "hand": {"linear_damping_rate": 1234570.0, "angular_damping_rate": 6e16},
        "door-open-outward": door,
        "door-open-inward": door,
    }


def test_what_is_not_there_is_named(measured: Path, constants: Path) -> None:
    with pytest.raises(ProbeError, match="cannot be read: No such file"):
        read_probe(constants / "nothing.json")
    (constants / "v1.yaml").unlink()
    with pytest.raises(
        ProbeError, match=r"there is no v1.yaml in .*constants, which the new version is to be based on"
    ):
        fit.write_version(measured, constants)
    assert [file.name for file in constants.iterdir()] == ["v0.yaml"]


def test_the_command(measured: Path, constants: Path) -> None:
    command = [sys.executable, "-m", "envs.isaac_bridge.fit", str(measured), "--constants", str(constants)]
    done = subprocess.run(command, cwd=STAND_IN.parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        f"wrote {constants / 'v2.yaml'}\n# Version 2: version 1 with four constants fitted"
    )
    measured_twice = subprocess.run(
        [*command[:3], str(constants), *command[4:]], cwd=STAND_IN.parents[2], capture_output=True, text=True
    )
    assert (measured_twice.returncode, measured_twice.stderr.count("\n")) == (1, 1)
