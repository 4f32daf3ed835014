"""What an image is made from, how it is recorded, what is let into it, and which one a process says it runs
in."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dima.cell.cards import CARDS
from dima.cell.commands import FINISHED_SINCE
from dima.cell.sibling_seeds import SEEDS_BESIDE
from dima.cli import main
from dima.containers.environment import container_environment
from dima.containers.recipe import arguments, recipe, require_built
from dima.errors import UserError
from dima.record.image import file_digest, image_of_process
from dima.record.provenance import commit_of, note_commit

ROOT = Path(__file__).parents[1]
DEFINITIONS = sorted((ROOT / "containers").glob("*.def"))
HOST = {
    "PATH": "/usr/bin",
    "PYTHONPATH": "/host",
    "CONDA_PREFIX": "/conda",
    "HOME": "/home",
    "SLURM_JOB_ID": "7",
    "DIMA_MONGO_URI": "secret",
}


def parsed(path: Path) -> tuple[set[str], dict[str, str], set[str]]:
    """The template variables that a definition uses, the arguments that it has, and its sections."""
    text = path.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^%(\w+)\n(.*?)(?=^%\w+$|\Z)", text, re.MULTILINE | re.DOTALL))
    pairs = [
        line.strip().partition("=")
        for line in sections["arguments"].splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]
    return set(re.findall(r"\{\{ (\w+) \}\}", text)), {name: value for name, _, value in pairs}, set(sections)


def test_there_is_a_definition_for_each_image() -> None:
    assert [path.stem for path in DEFINITIONS] == ["dima", "harl", "isaacgym", "mongodb"]


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.stem)
def test_a_definition_takes_its_base_and_more_by_argument_and_tests_what_it_built(path: Path) -> None:
    used, has, sections = parsed(path)
    assert used == set(has)
    assert path.read_text(encoding="utf-8").startswith("Bootstrap: {{ bootstrap }}\nFrom: {{ base }}\n")
    assert "test" in sections


def test_images_of_cells_are_tested_by_the_doctor_and_built_on_the_one_lock() -> None:
    for name in ("dima", "harl"):
        text = (ROOT / f"containers/{name}.def").read_text(encoding="utf-8")
        assert "python -m dima doctor --image" in text.partition("%test")[2]
        installs = re.findall(r"pip install [^\n]*", text)
        assert installs
        assert all("-c requirements.lock" in command for command in installs)


def test_arguments_for_cuda_are_those_that_the_definition_has() -> None:
    lines = (ROOT / "containers/cuda.arguments").read_text(encoding="utf-8").splitlines()
    given = {line.partition("=")[0] for line in lines if not line.startswith("#")}
    assert {"base", "device"} <= given <= set(parsed(ROOT / "containers/dima.def")[1])


def test_the_tracked_lock_of_images_holds_digests_and_nothing_else() -> None:
    lock = json.loads((ROOT / "containers/images.lock").read_text(encoding="utf-8"))
    assert set(lock) <= {path.stem for path in DEFINITIONS}
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", entry["digest"]) for entry in lock.values())


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like the repository, with a small package."""
    for name in (
        "dima/cell/run.py",
        "envs/toy.py",
        "requirements.lock",
        "pyproject.toml",
        "README.md",
        "containers/dima.def",
        "containers/harl.def",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{name}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "stale"),
    [
        ("dima/cell/run.py", {"dima", "harl"}),
        ("envs/another.py", {"dima", "harl"}),
        ("requirements.lock", {"dima", "harl"}),
        ("containers/dima.def", {"dima", "harl"}),
        ("containers/dima.arguments", {"dima", "harl"}),
        ("containers/harl.def", {"harl"}),
        ("containers/harl.arguments", {"harl"}),
        ("README.md", set()),
        ("dima/__pycache__/cell.pyc", set()),
        ("containers/images.lock", set()),
    ],
)
def test_an_image_is_stale_when_what_it_is_made_from_has_changed(
    sources: Path, changed: str, stale: set[str]
) -> None:
    before = {name: recipe(name) for name in ("dima", "harl")}
    (sources / changed).parent.mkdir(exist_ok=True)
    (sources / changed).write_text("base=another\n")
    assert {name for name in before if recipe(name) != before[name]} == stale


def test_arguments_are_lines_of_key_and_value(sources: Path) -> None:
    assert arguments("dima") == {}
    (sources / "containers/dima.arguments").write_text("# a comment\n\nbase=a folder=with signs\npackages=\n")
    assert arguments("dima") == {"base": "a folder=with signs", "packages": ""}
    (sources / "containers/dima.arguments").write_text("--base=x\n")
    with pytest.raises(UserError, match="'--base=', which is not key=value"):
        arguments("dima")


def apptainer(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a stand-in for Apptainer before everything else on the path."""
    (folder / "bin").mkdir()
    (folder / "bin/apptainer").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin/apptainer").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")


BUILD = 'printf "%s\\n" "$@" >asked; for last; do image="$previous" previous="$last"; done; '
BUILD += 'echo content >"$image"'


def test_a_build_is_recorded_with_its_digest_and_what_it_was_made_from(
    sources: Path, monkeypatch, capsys
) -> None:
    apptainer(sources, monkeypatch, BUILD)
    (sources / "containers/images.lock").write_text('{"mongodb": {"digest": "kept"}}')
    (sources / "containers/dima.arguments").write_text("base=a folder\nextras=training,mongo\n")
    assert main(["build-image", "dima"]) == 0
    assert capsys.readouterr().out == "containers/dima.sif\n"
    command, *arguments, aside, definition = (sources / "asked").read_text().splitlines()
    assert (command, definition) == ("build", "containers/dima.def")
    assert arguments == [
        "--build-arg",
        "commit=",
        "--build-arg",
        "dirty=null",
        "--build-arg",
        "base=a folder",
        "--build-arg",
        '"extras=training,mongo"',
    ]
    assert aside != "containers/dima.sif"
    lock = json.loads((sources / "containers/images.lock").read_text())
    assert lock["mongodb"] == {"digest": "kept"}
    assert lock["dima"]["digest"] == "sha256:" + hashlib.sha256(b"content\n").hexdigest()
    assert (lock["dima"]["recipe"], lock["dima"]["arguments"]) == (
        recipe("dima"),
        {"base": "a folder", "extras": "training,mongo"},
    )
    require_built(Path("containers/dima.sif"))
    assert sorted(path.name for path in (sources / "containers").iterdir()) == [
        "dima.arguments", "dima.def", "dima.sif", "dima.sif.digest", "harl.def", "images.lock",
    ]  # fmt: skip


def test_a_build_that_fails_leaves_the_old_image_and_its_entry(sources: Path, monkeypatch, capsys) -> None:
    apptainer(sources, monkeypatch, f"{BUILD}; exit 3")
    (sources / "containers/dima.sif").write_text("old")
    (sources / "containers/images.lock").write_text("{}")
    assert main(["build-image", "dima"]) == 2
    assert "dima: containers/dima.sif was not built: apptainer ended with status 3" in capsys.readouterr().err
    assert (sources / "containers/dima.sif").read_text() == "old"
    assert (sources / "containers/images.lock").read_text() == "{}"
    assert not list((sources / "containers").glob(".*"))


@pytest.mark.parametrize("name", ["dimma", "../containers/dima", ""])
def test_an_image_without_a_definition_is_refused_with_the_choices(sources: Path, capsys, name: str) -> None:
    assert main(["build-image", name]) == 2
    assert f"Unknown image {name!r}; choose from dima, harl" in capsys.readouterr().err


def test_a_process_says_which_image_it_runs_in(tmp_path: Path) -> None:
    image, lock = tmp_path / "dima.sif", tmp_path / "images.lock"
    image.write_bytes(b"an image")
    digest = f"sha256:{hashlib.sha256(b'an image').hexdigest()}"
    environ = {"APPTAINER_CONTAINER": str(image)}
    assert image_of_process({}) == "none"
    assert image_of_process(environ) == f"{digest} (unpinned)"
    lock.write_text(json.dumps({"dima": {"digest": digest}, "harl": {"digest": "sha256:0"}}))
    assert image_of_process(environ) == digest
    lock.write_text(json.dumps({"dima": {"digest": "sha256:0"}}))
    assert image_of_process(environ) == f"{digest} (unpinned)"
    assert (
        image_of_process({"APPTAINER_CONTAINER": str(tmp_path / "gone.sif")})
        == "unpinned: gone.sif cannot be read from inside"
    )


def test_a_digest_is_read_again_when_size_or_time_has_changed(tmp_path: Path) -> None:
    image = tmp_path / "dima.sif"
    image.write_bytes(b"one")
    first = file_digest(image)
    time = image.stat().st_mtime_ns
    image.write_bytes(b"two")
    os.utime(image, ns=(time, time))
    assert file_digest(image) == first  # not looked into: that would take seconds for each cell
    os.utime(image, ns=(time + 1, time + 1))
    assert file_digest(image) == f"sha256:{hashlib.sha256(b'two').hexdigest()}"
    image.write_bytes(b"three")
    os.utime(image, ns=(time + 1, time + 1))
    assert file_digest(image) == f"sha256:{hashlib.sha256(b'three').hexdigest()}"


def test_an_image_says_what_git_said_when_it_was_built(tmp_path: Path) -> None:
    (tmp_path / "build.json").write_text('{"commit": "abc", "dirty": true}')
    assert commit_of(tmp_path) == ("abc", True)
    (tmp_path / "build.json").write_text('{"commit": "", "dirty": null}')
    assert commit_of(tmp_path) == (None, None)


def test_a_copied_checkout_says_what_git_said_and_whether_it_was_changed_since(tmp_path: Path) -> None:
    origin, copy = tmp_path / "origin", tmp_path / "around/copy"
    for folder in (origin, tmp_path / "around"):
        (folder / "dima").mkdir(parents=True)
        (folder / "dima/code.py").write_text(f"# of {folder.name}")
        committed(folder)
    (origin / ".gitignore").write_text("build.json")
    (origin / "dima/code.py").write_text("# changed")
    commit, dirty = note_commit(origin)
    assert (len(commit or ""), dirty) == (40, True)
    committed(origin)
    assert note_commit(origin) == (commit_of(origin)[0], False) != (commit, False)
    (origin / "build.json").write_text("{}")  # git tells better
    assert note_commit(origin)[1] is False
    shutil.copytree(origin, copy, ignore=shutil.ignore_patterns(".git"))
    assert commit_of(copy) == commit_of(origin), "and not the repository around it"
    (copy / "dima/code.py").write_text("# changed again")
    assert commit_of(copy) == (commit_of(origin)[0], True)
    (copy / "build.json").unlink()
    assert commit_of(copy) == note_commit(copy) == (None, None)
    assert not (copy / "build.json").exists()


def committed(folder: Path) -> None:
    """Put all that is in the folder into a commit of a repository there."""
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org", "-C", str(folder)]
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["commit", "--quiet", "--allow-empty", "--message", "all"],
    ):
        subprocess.run([*git, *command], check=True, timeout=60)


def test_a_recorded_image_does_not_make_the_checkout_dirty(tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org", "-C", str(tmp_path)]
    (tmp_path / "containers").mkdir()
    for name in ("containers/images.lock", "other"):
        (tmp_path / name).write_text("{}")
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
        subprocess.run([*git, *command], check=True, timeout=60)
    (tmp_path / "containers/images.lock").write_text("{1}")
    assert commit_of(tmp_path)[1] is False
    (tmp_path / "other").write_text("{1}")
    assert commit_of(tmp_path)[1] is True


def test_a_cell_is_called_with_a_clean_environment_no_home_and_explicit_folders(tmp_path: Path) -> None:
    environ = container_environment(HOST, tmp_path, gpu=False)
    assert {name: value for name, value in environ.items() if name.startswith("APPTAINER")} == {
        "APPTAINER_CLEANENV": "1", "APPTAINER_NO_HOME": "1", "APPTAINER_NO_MOUNT": "cwd",
        "APPTAINER_BIND": f"{tmp_path}:{tmp_path}:ro,{tmp_path}/results:{tmp_path}/results",
        "APPTAINERENV_SLURM_JOB_ID": "7", "APPTAINERENV_DIMA_MONGO_URI": "secret",
    }  # fmt: skip
    assert {name: environ[name] for name in HOST} == HOST
    assert container_environment(environ, tmp_path, gpu=True)["APPTAINER_NV"] == "1"


def test_what_the_workflow_tells_cells_reaches_into_images(tmp_path: Path) -> None:
    told = {FINISHED_SINCE: "1e9", SEEDS_BESIDE: "1,2", CARDS: "GPU-1=81559", "CUDA_VISIBLE_DEVICES": "0"}
    environ = container_environment(told, tmp_path, gpu=True)
    assert {name: environ[f"APPTAINERENV_{name}"] for name in told} == told


def test_the_private_file_of_a_database_is_brought_in_for_reading(tmp_path: Path) -> None:
    file = str(tmp_path / "address")
    environ = container_environment({"DIMA_MONGO_URI_FILE": file}, tmp_path, gpu=False)
    assert environ["APPTAINER_BIND"].endswith(f",{file}:{file}:ro")
    assert environ["APPTAINERENV_DIMA_MONGO_URI_FILE"] == file


@pytest.mark.parametrize(
    "name",
    ["APPTAINERENV_PYTHONPATH", "SINGULARITYENV_PATH", "APPTAINER_WRITABLE_TMPFS", "SINGULARITY_OVERLAY"],
)
def test_what_the_host_would_bring_in_or_make_writable_is_dropped(tmp_path: Path, name: str) -> None:
    assert name not in container_environment({**HOST, name: "1"}, tmp_path, gpu=False)
    assert (
        container_environment({**HOST, "APPTAINER_CACHEDIR": "kept"}, tmp_path, gpu=False)[
            "APPTAINER_CACHEDIR"
        ]
        == "kept"
    )


def test_results_elsewhere_are_brought_in_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository/results").symlink_to(tmp_path / "scratch")
    binds = container_environment({"APPTAINER_BIND": "site"}, tmp_path / "repository", gpu=False)[
        "APPTAINER_BIND"
    ].split(",")
    assert binds == [
        "site",
        f"{tmp_path}/repository:{tmp_path}/repository:ro",
        f"{tmp_path}/scratch:{tmp_path}/scratch",
    ]


def test_a_folder_that_apptainer_cannot_be_told_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a comma, a colon or a line break"):
        container_environment({}, tmp_path / "a,b", gpu=False)
