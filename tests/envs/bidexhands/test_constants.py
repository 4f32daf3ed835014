"""The versioned constants: every key is known and present, and a new version is a new file and a new
preset."""

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

V0, V1 = FOLDER / "v0.yaml", FOLDER / "v1.yaml"


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


def test_version_1_is_version_0_but_for_the_thumbs_of_the_doors_and_the_pen() -> None:
    old, new = load_constants(V0).model_dump(by_alias=True), load_constants(V1).model_dump(by_alias=True)
    assert (old["hand"].pop("reset_thumb"), new["hand"].pop("reset_thumb")) == (
        (-1.04, 1.2, 0, 0, -1.57),
        (0, 0, 0, 0, 0),
    )
    assert (old["bottle-cap"].pop("reset_thumb"), new["bottle-cap"].pop("reset_thumb")) == (
        None,
        (-1.04, 1.2, 0, 0, -1.57),
    )
    assert new == old | {"version": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"version": 1, "based_on": 1},
            "v1.yaml: based_on: must be an earlier version than its own, 1, not 1",
        ),
        (
            {"version": 1, "based_on": "v0"},
            "v1.yaml: based_on: must be an earlier version than its own, 1, not v0",
        ),
        ({"based_on": 0}, "v1.yaml: based_on: must be an earlier version than its own, None, not 0"),
        ({"version": 1, "based_on": -1}, "there is no file of constants .*v-1.yaml"),
        (
            {"version": 1, "based_on": 0, "hand": {"reset_thum": 0}},
            "v1.yaml: hand.reset_thum: extra inputs are not permitted",
        ),
        ({"version": 1, "based_on": 0, "hand": 0}, "v1.yaml: hand: input should be a valid dictionary"),
        (
            {"version": 1, "based_on": 0, "pen": {"reset_thumb": [0, 0]}},
            "v1.yaml: pen.reset_thumb.2: field required",
        ),
    ],
)
def test_a_version_that_changes_another_one_wrongly_is_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    written(tmp_path, content())
    with pytest.raises(ConstantsError, match=message):
        load_constants(written(tmp_path, changes, "v1.yaml"))


def test_the_doors_differ_in_the_side_that_faces_the_hands() -> None:
    constants = load_constants(V0)
    outward, inward = (
        door.model_dump() for door in (constants.door_open_outward, constants.door_open_inward)
    )
    assert {key for key in outward if outward[key] != inward[key]} == {"object_rpy", "handle_point"}


def test_every_value_names_its_source() -> None:
    for file, values in ((V0, 100), (V1, 2)):
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if re.match(r"  \w+: ", line)]
        assert len(lines) >= values
        assert [line for line in lines if not re.search(r"# (\[[BPH]\]|it gives)", line)] == []


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (
            "hand",
            "linear_dampin_rate",
            1.0,
            "v0.yaml: hand.linear_dampin_rate: extra inputs are not permitted",
        ),
        ("pen", "episode_limit", 0, "v0.yaml: pen.episode_limit: input should be greater than 0"),
        ("bottle-cap", "cap", [1, 2], "v0.yaml: bottle-cap.cap.2: field required"),
        (
            "door-open-inward",
            "object_spring",
            "stiff",
            "v0.yaml: door-open-inward.object_spring: input should be a valid number",
        ),
        ("simulation", "timestep", float("nan"), "v0.yaml: simulation.timestep: input should be a"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(
    tmp_path: Path, section: str, key: str, value: object, message: str
) -> None:
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


def test_a_file_is_a_preset_and_what_earlier_records_call_paper_is_version_0() -> None:
    assert presets() == ("v1", "v0")
    assert (constants_file("v1"), constants_file("v0"), constants_file("paper")) == (V1, V0, V0)


def test_a_new_file_is_a_new_preset_with_its_own_id_and_no_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated = {"version": 12, "based_on": 1, "hand": {"linear_damping_rate": 50.0}}
    changed = {"version": 1, "based_on": 0}
    for name, values in (
        ("v0.yaml", content()),
        ("v12.yaml", calibrated),
        ("v2.yaml", content() | {"version": 2}),
        ("v1.yaml", changed),
    ):
        written(tmp_path, values, name)
    monkeypatch.setattr(presets_module, "FOLDER", tmp_path)
    assert presets() == ("v1", "v0", "v2", "v12")
    factory = envs.TASKS["pen"].engines["mujoco"].load()
    env = factory("pen", 1, 0, "v12")
    assert env.spec.preset == "v12"
    assert env.spec.lineage.startswith("MuJoCo-Pen-v12/gymnasium-robotics-")
    dof = env.worlds.model.joint("left/base").dofadr[0]  # type: ignore[attr-defined]
    assert env.worlds.model.dof_damping[dof] == pytest.approx(50 * 5.011, abs=0.05)  # type: ignore[attr-defined]
