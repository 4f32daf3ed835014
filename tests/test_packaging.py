"""One lock, read by everything, in step with pyproject.toml; and the README's two commands."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK_LINES = [
    line
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
LOCK = [Requirement(line) for line in LOCK_LINES]
PINNED = {
    canonicalize_name(requirement.name): Version(str(requirement.specifier).removeprefix("=="))
    for requirement in LOCK
}
EXTRAS = {
    name: [Requirement(text) for text in texts] for name, texts in PROJECT["optional-dependencies"].items()
}
UNLOCKED = "triton"  # what a build of torch for CUDA brings, and tests need with any other
DIRECT = [Requirement(text) for text in PROJECT["dependencies"]] + [
    one for name, group in EXTRAS.items() if name not in ("all", UNLOCKED) for one in group
]


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_every_direct_dependency_is_locked_within_its_range(requirement: Requirement) -> None:
    assert PINNED[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_extra_all_is_all_extras() -> None:
    assert [requirement.extras for requirement in EXTRAS["all"]] == [set(EXTRAS) - {"all", UNLOCKED}]


def test_the_lock_pins_each_package_once_and_brings_no_torch_but_one() -> None:
    assert len(PINNED) == len(LOCK)
    assert PINNED["torch"] == Version("2.13.0")
    assert [name for name in PINNED if re.match(r"nvidia-|cuda-|triton|torchvision|torchaudio", name)] == []


def test_the_lock_names_no_index() -> None:
    assert [line for line in LOCK_LINES if re.search(r"://|^-|@", line)] == []


def test_these_tests_run_on_the_lock() -> None:
    meant = [one for one in LOCK if one.marker is None or one.marker.evaluate()]
    installed = {one.name: Version(version(one.name)).public for one in meant}
    assert {
        name: number for name, number in installed.items() if number != str(PINNED[canonicalize_name(name)])
    } == {}


def test_environment_yml_carries_python_pip_and_the_lock_and_nothing_else() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    python, *rest = conda
    assert rest == ["pip", {"pip": ["-r requirements.lock", "-e ."]}]
    name, _, number = python.partition("=")
    assert name == "python"
    assert Version(number) in SpecifierSet(PROJECT["requires-python"])


def quick_start_blocks() -> list[str]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## Quick start\n(.*?)^## ", readme, re.MULTILINE | re.DOTALL)
    assert section
    return re.findall(r"^```sh\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)


def test_the_readme_has_two_commands_of_one_line_that_differ_in_what_they_run() -> None:
    quick, tests = quick_start_blocks()
    setup = "python3 -m venv .venv && .venv/bin/pip install -q -r requirements.lock -e . && "
    assert quick == f"{setup}.venv/bin/snakemake --cores 2 quick\n"
    assert tests == f"{setup}.venv/bin/python -m pytest\n"


def test_no_part_of_dima_depends_on_the_server_of_the_tests() -> None:
    assert "secantusdb" not in PINNED
    pinned = (ROOT / "tests/mongo-server.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in pinned if not re.fullmatch(r"#.*|[a-z0-9-]+==[0-9a-z.]+", line)] == []
    sources = [
        path
        for folder in ("dima", "envs", "workflow")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".smk")
    ]
    assert [str(path) for path in sources if re.search(r"secantus", path.read_text(encoding="utf-8"))] == []
