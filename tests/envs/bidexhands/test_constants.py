"""The versioned constants: every key is known and present, and a new version is a new file and a new preset."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import envs
from envs.bidexhands import presets as presets_module
from envs.bidexhands.constants import ConstantsError, load_constants
from envs.bidexhands.presets import FOLDER, constants_file, presets

V0 = FOLDER / "v0.yaml"


def content() -> dict[str, Any]:
    return yaml.safe_load(V0.read_text(encoding="utf-8"))


def written(folder: Path, values: dict[str, Any], name: str = "v0.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def test_the_numbers_of_version_0() -> None:
    constants = load_constants(V0)
    assert constants.version == 0
    assert (constants.bottle_cap.episode_limit, constants.pen.episode_limit) == (125, 125)
    assert (constants.door_open_inward.episode_limit, constants.door_open_outward.episode_limit) == (250, 250)
    assert constants.hand.linear_damping_rate == constants.hand.angular_damping_rate == 100
    assert constants.simulation.timestep * constants.simulation.substeps == pytest.approx(1 / 60)


def test_the_doors_differ_in_the_side_that_faces_the_hands() -> None:
    constants = load_constants(V0)
    outward, inward = (door.model_dump() for door in (constants.door_open_outward, constants.door_open_inward))
    assert {key for key in outward if outward[key] != inward[key]} == {"object_rpy", "handle_point"}


def test_every_value_names_its_source() -> None:
    lines = [line for line in V0.read_text(encoding="utf-8").splitlines() if re.match(r"  \w+: ", line)]
    assert len(lines) > 100
    assert [line for line in lines if "# [B]" not in line and "# [P]" not in line and "# it gives" not in line] == []


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("hand", "linear_dampin_rate", 1.0, "v0.yaml: hand.linear_dampin_rate: extra inputs are not permitted"),
        ("pen", "episode_limit", 0, "v0.yaml: pen.episode_limit: input should be greater than 0"),
        ("bottle-cap", "cap", [1, 2], "v0.yaml: bottle-cap.cap.2: field required"),
        ("door-open-inward", "object_spring", "stiff", "v0.yaml: door-open-inward.object_spring: input should be a valid number"),
        ("simulation", "timestep", float("nan"), "v0.yaml: simulation.timestep: input should be a"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(tmp_path: Path, section: str, key: str, value: object, message: str) -> None:
    values = content()
    values[section][key] = value
    with pytest.raises(ConstantsError, match=re.escape(message)):
        load_constants(written(tmp_path, values))


def test_a_missing_key_an_unknown_section_and_a_missing_file_are_named(tmp_path: Path) -> None:
    values = content()
    del values["pen"]["pull_gain"]
    with pytest.raises(ConstantsError, match=r"pen\.pull_gain: field required"):
        load_constants(written(tmp_path, values))
    with pytest.raises(ConstantsError, match="door: extra inputs are not permitted"):
        load_constants(written(tmp_path, content() | {"door": {}}))
    with pytest.raises(ConstantsError, match="no file of constants .*v7.yaml"):
        load_constants(tmp_path / "v7.yaml")
    (tmp_path / "v1.yaml").write_text("pen: [", encoding="utf-8")
    with pytest.raises(ConstantsError, match="v1.yaml cannot be read as YAML"):
        load_constants(tmp_path / "v1.yaml")


def test_a_file_says_its_own_version(tmp_path: Path) -> None:
    with pytest.raises(ConstantsError, match=r"v3.yaml calls itself version 0: its name must be v0.yaml"):
        load_constants(written(tmp_path, content(), "v3.yaml"))


def test_a_new_file_is_a_new_preset_with_its_own_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert presets()[0] == "paper"
    assert constants_file("paper") == V0
    calibrated = content()
    calibrated["version"] = 12
    calibrated["hand"]["linear_damping_rate"] = 50.0
    for name, values in (("v0.yaml", content()), ("v12.yaml", calibrated), ("v2.yaml", content() | {"version": 2})):
        written(tmp_path, values, name)
    monkeypatch.setattr(presets_module, "FOLDER", tmp_path)
    assert presets() == ("paper", "v2", "v12")
    factory = envs.TASKS["pen"].engines["mujoco"].load()
    env = factory("pen", 1, 0, "v12")
    assert env.spec.preset == "v12"
    assert env.spec.lineage.startswith("MuJoCo-Pen-v12/gymnasium-robotics-")
    dof = env.worlds.model.joint("left/base").dofadr[0]  # type: ignore[attr-defined]
    assert env.worlds.model.dof_damping[dof] == pytest.approx(50 * 5.011, abs=0.05)  # type: ignore[attr-defined]
