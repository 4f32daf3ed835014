"""`.ci/run` on machines made of stand-ins: what it asks them for, what it runs, and what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = ("debian-packages", "install-apptainer", "slurm-node")
NOTE = 'echo "$(basename "$0") $*" >>asked'


class Machine:
    """A checkout where the other scripts of `.ci` and what they install are stand-ins that note what they are
    asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".ci").mkdir()
        (folder / "tests").mkdir()
        shutil.copy(ROOT / ".ci/run", folder / ".ci/run")
        shutil.copy(ROOT / "tests/mongo-server.txt", folder / "tests/mongo-server.txt")
        for name in SCRIPTS:
            self.put(
                f".ci/{name}", f'case "$1" in packages) echo "{name}-needs" ;; status) ;; *) {NOTE} ;; esac'
            )
        for name, script in {"id": "echo 0", "ldconfig": "echo libEGL.so.1", "python3": NOTE}.items():
            self.put(f"commands/{name}", script)
        for name in ("apt-get", "apptainer", "mmdebstrap"):
            self.put(f"commands/{name}", "true")
        self.put("environment/bin/python", "true")
        self.put("environment/bin/pip", NOTE)
        self.put(".venv-mongo/bin/pip", NOTE)
        self.put(".venv-mongo/bin/secantusd-py", "true")

    def put(self, name: str, script: str) -> None:
        """Make it a command that runs the script."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def run(
        self, setup: str = "touch set_up && cp -r environment .venv", tests: str = "touch -- tested"
    ) -> subprocess.CompletedProcess[str]:
        """`.ci/run`, where `setup && tests` is the README's second command."""
        blocks = [
            f"```sh\n{command}\n```\n"
            for command in ("touch first && true", f"{setup} && {tests}", "touch third && true")
        ]
        readme = f"## Quick start\n\n{blocks[0]}\n{blocks[1]}\n## After\n\n{blocks[2]}"
        (self.folder / "README.md").write_text(readme, encoding="utf-8")
        environ = os.environ | {
            "PATH": f"{self.folder / 'commands'}:{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = ["bash", ".ci/run"]
        return subprocess.run(
            command, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    @property
    def asked(self) -> set[str]:
        """What its stand-ins were asked for."""
        path = self.folder / "asked"
        return set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("tests", "status"), [("true", 0), ("false", 1), ("sh -c 'exit 3'", 3), ("false | true", 1)]
)
def test_it_runs_the_second_command_and_ends_as_it_does(machine: Machine, tests: str, status: int) -> None:
    result = machine.run(tests=tests)
    assert result.returncode == status, result.stderr
    assert (machine.folder / "set_up").exists()
    assert not (machine.folder / "first").exists()
    assert not (machine.folder / "third").exists()


def test_it_asks_for_the_slow_tests_too_in_a_fresh_environment_with_bytecode(machine: Machine) -> None:
    machine.put(".venv/of_before", "")
    result = machine.run(tests='sh -c \'ls .venv/of_before; echo "$PYTHONDONTWRITEBYTECODE" "$@"\' sh')
    assert result.stdout.splitlines()[-2:-1] == [" --slow"]
    assert "cannot access '.venv/of_before'" in result.stderr


def test_it_tests_nothing_where_the_setup_fails(machine: Machine) -> None:
    assert machine.run(setup="sh -c 'exit 4'").returncode == 4
    assert not (machine.folder / "tested").exists()


def test_it_refuses_a_second_command_that_is_not_a_setup_and_tests(machine: Machine) -> None:
    shutil.copy(ROOT / "README.md", machine.folder / "README.md")
    (machine.folder / "README.md").write_text(
        "## Quick start\n\n```sh\ntrue && true\n```\n", encoding="utf-8"
    )
    result = subprocess.run(
        ["bash", ".ci/run"], cwd=machine.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert "README.md has no 'set up && test' as the second sh block" in result.stderr


@pytest.mark.parametrize(
    ("opengl", "more"), [("libEGL.so.1", ""), ("libOSMesa.so.8", ""), ("libX11.so.6", " libegl1 libgl1")]
)
def test_it_installs_all_debian_packages_at_once_and_opengl_where_there_is_none(
    machine: Machine, opengl: str, more: str
) -> None:
    machine.put("commands/ldconfig", f"echo {opengl}")
    result = machine.run()
    assert result.returncode == 0, result.stderr
    assert machine.asked == {
        f"debian-packages mmdebstrap{more} install-apptainer-needs slurm-node-needs",
        "install-apptainer ",
        "slurm-node start",
        "python3 --version",
        "python3 -m venv --clear .venv-mongo",
        "pip install -q -r tests/mongo-server.txt",
    }


def test_it_installs_triton_where_torch_has_brought_none(machine: Machine) -> None:
    machine.put("environment/bin/python", "exit 1")
    assert "no Triton could be installed" not in machine.run().stderr
    assert "pip install -q --no-build-isolation -c requirements.lock -e .[triton]" in machine.asked
    machine.put("environment/bin/pip", "exit 1")
    result = machine.run()
    assert result.returncode == 0
    assert "no Triton could be installed" in result.stderr


def test_it_installs_no_debian_packages_for_another_user(machine: Machine) -> None:
    machine.put("commands/id", "echo 1000")
    result = machine.run()
    assert not any(line.startswith(SCRIPTS) for line in machine.asked)
    assert "tests were skipped, for there is no Apptainer (with mmdebstrap, as root)\n" in result.stderr
    assert (machine.folder / "tested").exists()


@pytest.mark.parametrize(
    ("stand_in", "script", "line", "lacking"),
    [
        ("commands/ldconfig", "echo libX11.so.6", "", "OpenGL"),
        ("commands/apptainer", "exit 1", "", "Apptainer (with mmdebstrap, as root)"),
        (".ci/slurm-node", '[ "$1" = packages ]', "no Slurm could be started", "Slurm"),
        (".venv-mongo/bin/secantusd-py", "", "", "MongoDB server"),
        ("environment/bin/python", "exit 1", "", "Triton"),
        (".ci/install-apptainer", "exit 1", "no Apptainer could be installed", ""),
        (".ci/debian-packages", "exit 1", "no OpenGL or no mmdebstrap could be installed", ""),
        (".venv-mongo/bin/pip", "exit 1", "no MongoDB server could be installed", ""),
    ],
)
def test_it_goes_on_without_and_says_at_the_end_for_want_of_what_tests_were_skipped(
    machine: Machine, stand_in: str, script: str, line: str, lacking: str
) -> None:
    machine.put(stand_in, script)
    if not script:
        (machine.folder / stand_in).unlink()
    result = machine.run()
    assert result.returncode == 0, result.stderr
    assert (machine.folder / "tested").exists()
    assert line in result.stderr
    said = [line for line in result.stderr.splitlines() if "tests were skipped" in line]
    assert said == ([f".ci/run: tests were skipped, for there is no {lacking}"] if lacking else [])


def test_it_ends_with_the_seconds_of_each_stage_and_of_all(machine: Machine) -> None:
    last = machine.run(
        setup="sleep 1.1 && cp -r environment .venv", tests="sh -c 'sleep 1.1; exit 3' sh"
    ).stdout.splitlines()[-1]
    match = re.fullmatch(r"\.ci/run: (\d+) s: (.*), tests (\d+)", last)
    assert match, last
    stages = {stage.rpartition(" ")[0] for stage in match[2].split(", ")}
    assert stages == {"Debian packages", "Apptainer", "Slurm", "Python packages", "Triton", "MongoDB server"}
    assert 1 <= int(match[3]) < int(match[1]) <= 30


@pytest.mark.parametrize(
    ("installed", "asked"), [("one two three", []), ("two", ["update -qq", "one three"])]
)
def test_only_missing_debian_packages_are_installed_after_one_update(
    tmp_path: Path, installed: str, asked: list[str]
) -> None:
    for name, script in {
        "dpkg-query": "for last; do :; done; "
        f'case " {installed} " in *" $last "*) echo installed ;; *) exit 1 ;; esac',
        "apt-get": 'echo "$*" >>asked',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(
        [ROOT / ".ci/debian-packages", "one", "two", "three"],
        cwd=tmp_path,
        env=environ,
        timeout=60,
        check=True,
    )
    lines = (tmp_path / "asked").read_text(encoding="utf-8").splitlines() if asked else []
    assert (tmp_path / "asked").exists() == bool(asked)
    assert all(line.endswith(end) for line, end in zip(lines, asked, strict=True))


@pytest.mark.parametrize(("script", "one"), [("install-apptainer", "patchelf"), ("slurm-node", "slurmdbd")])
def test_a_script_names_the_debian_packages_that_it_needs(script: str, one: str) -> None:
    result = subprocess.run(
        [ROOT / ".ci" / script, "packages"], capture_output=True, text=True, timeout=60, check=True
    )
    assert one in result.stdout.split()
