"""`dima doctor`: what it says of this installation, and of a machine on which things are broken."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dima.cli import main
from dima.doctor import finding, host, installation

ROOT = Path(__file__).parents[1]


def command(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, on a machine that has the commands of its folder `bin` and none else."""
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("DIMA_MONGO_URI", raising=False)
    return tmp_path


def test_here_nothing_essential_is_broken_and_each_thing_has_a_line(capsys) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    subjects = ["Python", "packages", "torch", "MuJoCo", "Apptainer", "Slurm", "MongoDB", "disk", "git"]
    assert [line.split()[1] for line in lines] == subjects
    assert {line.split()[0] for line in lines} <= {"ok", "note"}
    assert lines[1].startswith("ok    packages")


def test_in_an_image_the_machine_is_left_out(capsys) -> None:
    assert main(["doctor", "--image"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == [
        "Python",
        "packages",
        "torch",
        "MuJoCo",
    ]


@pytest.mark.parametrize(
    ("lock", "text"),
    [
        ("numpy==1.0.0\ntorch==2.13.0\n", "not those of the lock: numpy 2."),
        ("numpy==1.0.0 ; sys_platform == 'linux'\n", "numpy 2."),
    ],
)
def test_another_version_than_the_locks_is_named_and_essential(
    tmp_path: Path, monkeypatch, capsys, lock: str, text: str
) -> None:
    (tmp_path / "requirements.lock").write_text(lock)
    found = installation.packages(tmp_path / "requirements.lock")
    assert found.mark == "fix"
    assert text in found.text
    monkeypatch.setattr("dima.doctor.INSTALLATION", (lambda: found,))
    assert main(["doctor", "--image"]) == 1
    assert "pip install -r requirements.lock" in capsys.readouterr().out


def test_a_missing_package_of_this_project_is_essential(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "requirements.lock").write_text("torch==2.13.0\nnot-here==1.0\n")
    assert installation.packages(tmp_path / "requirements.lock").mark == "ok"
    required = [
        "numpy>=2",
        "torch>=2; extra == 'training'",
        "not-here>=1; extra == 'training'",
        "other; extra == 'render'",
    ]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: required)
    found = installation.packages(tmp_path / "requirements.lock")
    assert (found.mark, found.text.partition(":")[0]) == ("fix", "not-here missing")


def test_a_gpu_that_torch_does_not_see_is_essential(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(installation, "NVIDIA", tmp_path)
    assert installation.accelerator().mark == "fix"
    monkeypatch.setattr(installation, "NVIDIA", tmp_path / "absent")
    assert installation.accelerator().mark == "ok"


def test_on_a_bare_machine_everything_optional_says_what_to_do(machine: Path) -> None:
    found = [look() for look in (host.apptainer, host.slurm, host.database, host.disk, host.repository)]
    assert [one.mark for one in found] == ["note", "note", "note", "ok", "note"]
    assert all(":" in one.text for one in found if one.mark == "note")


def test_commands_that_fail_are_quoted_by_their_last_line(machine: Path) -> None:
    command(machine / "bin", "sinfo", "echo first >&2; echo Unable to contact slurm controller >&2; exit 1")
    command(
        machine / "bin",
        "apptainer",
        'test "$1" = version && echo 1.4.5 || { echo no user namespaces >&2; exit 255; }',
    )
    (machine / "containers").mkdir()
    (machine / "containers/dima.sif").write_text("an image")
    assert "sinfo says: Unable to contact slurm controller" in host.slurm().text
    assert host.apptainer().text.startswith("1.4.5 cannot run containers/dima.sif (no user namespaces)")
    command(machine / "bin", "sinfo", "echo gpu; echo cpu")
    command(machine / "bin", "scontrol", "echo Access denied >&2; exit 1")
    assert host.slurm() == finding.Finding(
        "note", "Slurm", "partitions gpu, cpu; scontrol show config says: Access denied"
    )
    command(
        machine / "bin",
        "scontrol",
        'test "$*" = "show config" && { echo "MaxJobCount = 9"; echo "MinJobAge               = 119 sec"; }',
    )
    assert host.slurm().mark == "note"
    assert "squeue forgets a job after 119 s" in host.slurm().text
    command(machine / "bin", "scontrol", "echo 'MinJobAge               = 120 sec'")
    assert host.slurm() == finding.Finding(
        "ok", "Slurm", "partitions gpu, cpu; squeue remembers ended jobs for 120 s"
    )


def test_a_command_that_hangs_is_not_waited_for(machine: Path, monkeypatch) -> None:
    command(machine / "bin", "sinfo", "exec /bin/sleep 60")
    monkeypatch.setattr(host, "SECONDS", 0.5)
    started = time.monotonic()
    assert "no answer" in host.slurm().text
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        (
            "mongodb://user:canary@127.0.0.1:9/dima",
            "The database of DIMA_MONGO_URI cannot be reached: no server answered within 5 s.",
        ),
        ("mongodb://user:can/ary@127.0.0.1", "DIMA_MONGO_URI holds no usable MongoDB URI"),
        ("canary", "DIMA_MONGO_URI holds no usable MongoDB URI"),
    ],
)
def test_a_database_that_does_not_answer_costs_nothing_and_its_address_is_not_printed(
    machine: Path, monkeypatch, capsys, uri: str, sentence: str
) -> None:
    monkeypatch.setenv("DIMA_MONGO_URI", uri)
    monkeypatch.setattr("dima.doctor.INSTALLATION", ())
    assert main(["doctor"]) == 0
    printed = capsys.readouterr()
    assert sentence in printed.out
    assert not [
        word for word in ("canary", "ary@", "127.0.0.1", "user:") if word in printed.out + printed.err
    ]


def test_a_folder_that_cannot_be_written_to_is_essential(machine: Path, monkeypatch) -> None:
    (machine / "results").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "results")
    assert host.disk().mark == "fix"
