"""Finding a task by name, without loading what it does not need."""

from __future__ import annotations

import subprocess
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest

import envs


def test_importing_the_package_loads_no_simulator() -> None:
    heavy = {"mujoco", "gymnasium", "torch", "dima"}
    code = f"import sys, envs; sorted(envs.TASKS); print({heavy} & set(sys.modules))"
    root = Path(envs.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("halfcheeta-2x3", "unknown task 'halfcheeta-2x3' (did you mean 'halfcheetah-2x3'?): choose one of "),
        ("zzz", "unknown task 'zzz': choose one of "),
    ],
)
def test_an_unknown_task_names_the_choices(name: str, message: str) -> None:
    with pytest.raises(envs.UnknownTaskError) as caught:
        envs.make(name)
    assert str(caught.value) == message + ", ".join(sorted(envs.TASKS))


def test_an_unknown_preset_names_the_choices() -> None:
    with pytest.raises(envs.UnknownPresetError) as caught:
        envs.make("push-mass", preset="papers")
    assert (
        str(caught.value)
        == "unknown preset of push-mass 'papers' (did you mean 'paper'?): choose one of paper"
    )


def test_the_hands_presets_are_versions_and_the_former_name_of_the_first_is_understood() -> None:
    spec = envs.make("pen").spec
    assert (spec.preset, spec.lineage.split("/")[0]) == ("v1", "MuJoCo-Pen-v1")
    former = envs.make("pen", preset="paper").spec
    assert (former.preset, former.lineage) == ("paper", envs.make("pen", preset="v0").spec.lineage)
    with pytest.raises(envs.UnknownPresetError) as caught:
        envs.make("pen", preset="v7")
    assert str(caught.value) == "unknown preset of pen 'v7': choose one of v0, v1"


def test_an_unknown_engine_names_the_choices() -> None:
    with pytest.raises(envs.UnknownEngineError) as caught:
        envs.make("halfcheetah-2x3", engine="bullet")
    assert str(caught.value) == "unknown engine of halfcheetah-2x3 'bullet': choose one of mujoco"


class NotInstalled(MetaPathFinder):
    """Finds nothing, and keeps other finders from the package."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.split(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {self.package!r}", name=self.package)


@pytest.mark.parametrize(
    ("missing", "preset"),
    [("mujoco", "paper"), ("gymnasium", "paper"), ("gymnasium_robotics", "gymnasium-robotics")],
)
def test_a_missing_simulator_names_the_extra(
    missing: str, preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if f"{name}.".startswith(("envs.mamujoco.", f"{missing}."))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(missing), *sys.meta_path])
    with pytest.raises(envs.MissingExtraError) as caught:
        envs.make("halfcheetah-2x3", preset=preset)
    assert str(caught.value) == (
        f"task 'halfcheetah-2x3' in engine 'mujoco' needs {missing}, which is not installed: "
        "pip install -e '.[mujoco]'"
    )


def test_a_task_that_needs_no_extra_reports_the_missing_module_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "envs.push_mass", raising=False)
    monkeypatch.setitem(sys.modules, "envs.push_mass", None)
    with pytest.raises(ModuleNotFoundError, match="envs.push_mass"):
        envs.make("push-mass")


@pytest.mark.parametrize(
    ("num_envs", "seed", "message"),
    [
        (0, 0, "num_envs is 0"),
        (-2, 0, "num_envs is -2"),
        (1, -1, "the seed is -1"),
        (True, 0, "num_envs is True"),
    ],
)
def test_senseless_numbers_are_refused(num_envs: int, seed: int, message: str) -> None:
    with pytest.raises(envs.InvalidArgumentError, match=message):
        envs.make("push-mass", num_envs, seed)
