"""One lock, read by everything, in step with pyproject.toml; and the README's two commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
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
LOCK_LINES = [line for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
LOCK = [Requirement(line) for line in LOCK_LINES]
PINNED = {canonicalize_name(requirement.name): Version(str(requirement.specifier).removeprefix("==")) for requirement in LOCK}
EXTRAS = {name: [Requirement(text) for text in texts] for name, texts in PROJECT["optional-dependencies"].items()}
DIRECT = [Requirement(text) for text in PROJECT["dependencies"]] + [one for name, group in EXTRAS.items() if name != "all" for one in group]


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_every_direct_dependency_is_locked_within_its_range(requirement: Requirement) -> None:
    assert PINNED[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_extra_all_is_all_extras() -> None:
    assert [requirement.extras for requirement in EXTRAS["all"]] == [set(EXTRAS) - {"all"}]


def test_the_lock_pins_each_package_once_and_brings_no_torch_but_one() -> None:
    assert len(PINNED) == len(LOCK)
    assert PINNED["torch"] == Version("2.13.0")
    assert [name for name in PINNED if re.match(r"nvidia-|cuda-|triton|torchvision|torchaudio", name)] == []


def test_the_lock_names_no_index() -> None:
    assert [line for line in LOCK_LINES if re.search(r"://|^-|@", line)] == []


def test_these_tests_run_on_the_lock() -> None:
    meant = [one for one in LOCK if one.marker is None or one.marker.evaluate()]
    installed = {one.name: Version(version(one.name)).public for one in meant}
    assert {name: number for name, number in installed.items() if number != str(PINNED[canonicalize_name(name)])} == {}


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


@pytest.mark.parametrize(("second", "status"), [("true", 0), ("exit 3", 3), ("false | true", 1)])
def test_ci_runs_the_second_command_in_a_fresh_environment(tmp_path: Path, second: str, status: int) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".venv").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    commands = ("touch first", f"touch second && {second}", "touch third")
    first, second_block, third = (f"```sh\n{command}\n```\n" for command in commands)
    readme = f"## Quick start\n\n{first}\n{second_block}\n## After\n\n{third}"
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    result = run_ci(tmp_path, opengl="libEGL.so.1")
    assert result.returncode == status, result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ci", "README.md", "commands", "second"]


def run_ci(folder: Path, opengl: str, apt_status: int = 0) -> subprocess.CompletedProcess[str]:
    """`.ci/run` for the root user of a machine with this library, whose apt-get notes what it is asked for in the file `asked`."""
    (folder / "commands").mkdir()
    stand_ins = {"ldconfig": f"echo {opengl}", "id": "echo 0", "apt-get": f'echo "$*" >> asked; exit {apt_status}'}
    for name, script in stand_ins.items():
        (folder / "commands" / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / "commands" / name).chmod(0o755)
    path = f"{folder / 'commands'}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", ".ci/run"], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("opengl", "apt_status", "asked"),
    [
        ("libEGL.so.1", 0, []),
        ("libOSMesa.so.8", 0, []),
        ("libX11.so.6", 0, ["update -qq", "install -y -qq --no-install-recommends libegl1 libgl1"]),
        ("libX11.so.6", 1, ["update -qq"]),
    ],
)
def test_ci_installs_opengl_where_there_is_none_and_goes_on_without(tmp_path: Path, opengl: str, apt_status: int, asked: list[str]) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    (tmp_path / "README.md").write_text("## Quick start\n\n```sh\ntrue\n```\n\n```sh\ntouch tested\n```\n", encoding="utf-8")
    result = run_ci(tmp_path, opengl, apt_status)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "tested").exists()
    assert ("no OpenGL could be installed" in result.stderr) == (apt_status == 1)
    assert ((tmp_path / "asked").read_text().splitlines() if asked else []) == asked
    assert (tmp_path / "asked").exists() == bool(asked)


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize(
    ("tool", "arguments", "without"),
    [("install-apptainer", "", "no Apptainer could be installed"), ("slurm-single-node", "start", "no Slurm could be started")],
)
def test_ci_installs_what_there_is_a_tool_for_and_goes_on_without(
    tmp_path: Path, tool: str, arguments: str, without: str, status: int
) -> None:
    folder = tmp_path / "clone"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", folder / ".ci/run")
    (folder / "README.md").write_text("## Quick start\n\n```sh\ntrue\n```\n\n```sh\ntouch tested\n```\n", encoding="utf-8")
    installer = tmp_path / "shared/tools" / tool
    installer.parent.mkdir(parents=True)
    installer.write_text(f'#!/bin/sh\necho "$*" > called_with\nexit {status}\n', encoding="utf-8")
    installer.chmod(0o755)
    result = run_ci(folder, opengl="libEGL.so.1")
    assert result.returncode == 0, result.stderr
    assert (folder / "called_with").read_text(encoding="utf-8").strip() == arguments
    assert (folder / "tested").exists()
    assert (without in result.stderr) == (status == 1)


def test_ci_asks_for_a_mongodb_server_in_an_environment_of_its_own_and_goes_on_without(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    shutil.copy(ROOT / "tests/mongo-server.txt", tmp_path / "tests/mongo-server.txt")
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands/python3").write_text('#!/bin/sh\necho "$*" >> asked\n', encoding="utf-8")
    (tmp_path / "commands/python3").chmod(0o755)
    (tmp_path / "README.md").write_text("## Quick start\n\n```sh\ntrue\n```\n\n```sh\ntouch tested\n```\n", encoding="utf-8")
    path = f"{tmp_path / 'commands'}:{os.environ['PATH']}"
    command, environment = ["bash", ".ci/run"], os.environ | {"PATH": path}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert "-m venv --clear .venv-mongo" in (tmp_path / "asked").read_text().splitlines()
    assert "no MongoDB server could be installed" in result.stderr
    assert (tmp_path / "tested").exists()


def test_no_part_of_dima_depends_on_the_server_of_the_tests() -> None:
    assert "secantusdb" not in PINNED
    pinned = (ROOT / "tests/mongo-server.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in pinned if not re.fullmatch(r"#.*|[a-z0-9-]+==[0-9a-z.]+", line)] == []
    sources = [path for folder in ("dima", "envs", "workflow") for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".smk")]
    assert [str(path) for path in sources if re.search(r"secantus", path.read_text(encoding="utf-8"))] == []
