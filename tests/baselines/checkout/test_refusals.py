"""What cannot run is refused in one sentence, with status 2, before anything is written."""

from __future__ import annotations

import os
import re
import shutil
import sys

import pytest

from dima.cli import main
from dima.config.grid import CellKey, load_grid


@pytest.fixture
def refused(upstreams, capsys):
    """`refused(method)`: the sentence."""

    def refusal(method="happo-checkout", *options, **changes):
        capsys.readouterr()
        assert main(upstreams.arguments(method, *options, **changes)) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert not (upstreams.workplace / "results").exists()
        return message.removeprefix("dima: ").strip()

    return refusal


@pytest.mark.parametrize(
    ("method", "name"), [("happo-checkout", "HARL"), ("hasac-checkout", "HARL"), ("marie-checkout", "MARIE")]
)
def test_no_checkout_is_named(refused, monkeypatch, method, name) -> None:
    for value in (None, ""):
        monkeypatch.delenv(f"DIMA_{name}_CHECKOUT") if value is None else monkeypatch.setenv(
            f"DIMA_{name}_CHECKOUT", value
        )
        assert refused(method) == (
            f"Method {method} runs a checkout of {name}: name its folder in the environment variable DIMA_{name}_CHECKOUT."
        )


def test_there_is_no_such_folder(refused, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("DIMA_HARL_CHECKOUT", str(tmp_path / "nowhere"))
    assert refused() == f"There is no folder {tmp_path / 'nowhere'}, where a checkout of HARL should be."


def test_it_is_no_git_checkout(refused, upstreams, monkeypatch, tmp_path) -> None:
    """Neither a plain copy, nor a folder inside another repository, nor a repository without a commit."""
    copy, inner, empty = tmp_path / "copy", upstreams.harl.folder / "examples", tmp_path / "empty"
    shutil.copytree(upstreams.harl.folder, copy, ignore=shutil.ignore_patterns(".git"))
    upstreams.harl.git("init", "-q", str(empty))
    for folder in (copy, inner, empty):
        monkeypatch.setenv("DIMA_HARL_CHECKOUT", str(folder))
        assert refused() == f"{folder} is not a git checkout of HARL."


@pytest.mark.parametrize(
    ("method", "file"),
    [
        ("happo-checkout", "examples/train.py"),
        ("happo-checkout", "harl/configs/algos_cfgs/happo.yaml"),
        ("hasac-checkout", "harl/configs/algos_cfgs/hasac.yaml"),
        ("mappo-checkout", "harl/configs/envs_cfgs/mamujoco.yaml"),
        ("marie-checkout", "train.py"),
        ("marie-checkout", "configs/EnvConfigs.py"),
    ],
)
def test_an_expected_file_is_missing(refused, upstreams, method, file) -> None:
    checkout = upstreams.marie if method == "marie-checkout" else upstreams.harl
    checkout.git("rm", "-q", "--cached", file)  # there, but not a file of the commit that would run
    checkout.git("commit", "-q", "-m", "removed")
    name = "MARIE" if method == "marie-checkout" else "HARL"
    assert refused(method) == f"{checkout.folder} has no {file}: it is no checkout of {name} that can be run."


def test_it_is_at_another_commit(refused, upstreams) -> None:
    wanted = upstreams.harl.commit[:7]
    (upstreams.harl.folder / "README").write_text("more")
    upstreams.harl.commit_all()
    assert refused() == (
        f"{upstreams.harl.folder} is at commit {upstreams.harl.commit[:12]}, but the configuration asks for {wanted}: "
        "check that one out, or configure the other."
    )


def test_a_tracked_file_was_changed(refused, upstreams) -> None:
    """An untracked file does not matter: it would not run."""
    (upstreams.harl.folder / "notes").write_text("mine")
    with (upstreams.harl.folder / "examples/train.py").open("a") as file:
        file.write("# mended\n")
    commit = upstreams.harl.commit[:12]
    assert refused() == (
        f"examples/train.py in {upstreams.harl.folder} differs from commit {commit}: commit it and configure that commit."
    )


def test_it_would_pass_a_setting_over(refused, upstreams) -> None:
    path = upstreams.harl.folder / "harl/configs/algos_cfgs/happo.yaml"
    path.write_text(path.read_text().replace("  ppo_epoch: unset\n", ""))
    upstreams.harl.commit_all()
    grid = upstreams.workplace / "workflow/config/small.yaml"
    grid.write_text(re.sub("commit: .*", f'commit: "{upstreams.harl.commit}"', grid.read_text()))
    assert (
        refused()
        == f"{path} has no key algo.ppo_epoch, which this configuration sets: HARL would pass it over."
    )


def test_its_python_cannot_be_run(refused, monkeypatch, tmp_path) -> None:
    broken, silent, closed = tmp_path / "broken", tmp_path / "silent", tmp_path / "closed"
    broken.write_text("#!/bin/sh\necho first >&2\necho 'no libpython' >&2\nexit 127\n")
    silent.write_text("#!/bin/sh\n")
    for path in (broken, silent):
        path.chmod(0o755)
    closed.write_text("")
    reasons = {
        broken: "no libpython",
        silent: "it gives no answer",
        closed: "Permission denied",
        tmp_path / "absent": "No such file or directory",
    }
    for path, reason in reasons.items():
        monkeypatch.setenv("DIMA_HARL_PYTHON", str(path))
        assert refused() == f"The Python {path} (DIMA_HARL_PYTHON) cannot be run: {reason}."


def test_its_python_lacks_modules(refused, upstreams, monkeypatch) -> None:
    for name in ("ray", "gym"):
        (upstreams.python.parent / f"modules/{name}.py").unlink()
    python = upstreams.python
    assert (
        refused("marie-checkout")
        == f"MARIE needs ray, gym, which the Python {python} (DIMA_MARIE_PYTHON) lacks."
    )
    assert refused("mappo-checkout") == f"HARL needs gym, which the Python {python} (DIMA_HARL_PYTHON) lacks."
    monkeypatch.delenv("DIMA_MARIE_PYTHON")
    assert f"which the Python {sys.executable} (DIMA_MARIE_PYTHON) lacks." in refused("marie-checkout")


def test_neither_another_owner_nor_another_repository_around_is_in_the_way(upstreams, monkeypatch) -> None:
    """git refuses both by itself: a checkout of somebody else, as mounted from elsewhere, and a GIT_DIR, as
    set in a hook."""
    if os.geteuid() == 0:
        for path in [upstreams.harl.folder, *upstreams.harl.folder.rglob("*")]:
            os.chown(path, 12345, 12345)
    monkeypatch.setenv("GIT_DIR", str(upstreams.marie.folder / ".git"))
    assert main(upstreams.arguments("mappo-checkout")) == 0


@pytest.mark.parametrize("method", ["happo-checkout", "marie-checkout"])
@pytest.mark.parametrize(("task", "suite"), [("push-mass", "toy"), ("pen", "bidexhands")])
def test_another_suite_is_refused(upstreams, capsys, method, task, suite) -> None:
    assert main([*upstreams.arguments(method, task=task), "--grid", "impossible"]) == 2
    sentence = f"Method {method} does not run on {task} of suite {suite}; it runs on mamujoco."
    assert capsys.readouterr().err == f"dima: {sentence}\n"
    assert not (upstreams.workplace / "results").exists()


@pytest.mark.parametrize(
    ("method", "old", "new", "words"),
    [
        ("happo-checkout", r"commit: .*", "commit: main", ["'parameters.commit' = 'main'"]),
        ("happo-checkout", r"commit: .*", 'commit: "abc123"', ["'parameters.commit' = 'abc123'"]),
        (
            "happo-checkout",
            r"commit: .*",
            "commit: 1234567",
            ["'parameters.commit'", "it needs quotes: YAML reads 1234567 as a number"],
        ),
        (
            "happo-checkout",
            r"commit: .*",
            "commit: 82556e0",
            ["'parameters.commit'", "it needs quotes: YAML reads 82556.0 as a number"],
        ),
        (
            "marie-checkout",
            r"episodes: 10",
            "episodes: 5",
            ["evaluation.episodes must be 10, as MARIE plays them, not 5"],
        ),
        (
            "hasac-checkout",
            r"env_steps: 1250",
            "env_steps: 200",
            ["env_steps must be above warmup_steps (200)"],
        ),
        (
            "happo-checkout",
            r"env_steps: 1250",
            "env_steps: 1250\n      preset: gymnasium-robotics\n      comparable_with_paper: false",
            ["a checkout runs its own halfcheetah-2x3: preset must be paper"],
        ),
    ],
)
def test_what_upstream_cannot_be_told_is_refused(refused, upstreams, method, old, new, words) -> None:
    grid = upstreams.workplace / "workflow/config/small.yaml"
    grid.write_text(re.sub(old, new, grid.read_text()))
    sentence = refused(method)
    for word in words:
        assert word in sentence


def test_all_seven_tasks_of_mamujoco_can_be_told(upstreams) -> None:
    tasks = [
        "ant-2x4",
        "ant-4x2",
        "halfcheetah-2x3",
        "halfcheetah-3x2",
        "halfcheetah-6x1",
        "walker2d-2x3",
        "walker2d-3x2",
    ]
    methods = ["mappo-checkout", "happo-checkout", "hasac-checkout", "marie-checkout"]
    grid = f"experiments: {{final_returns: [{{tasks: [{', '.join(tasks)}], methods: [{', '.join(methods)}], seeds: [1]}}]}}\n"
    (upstreams.workplace / "workflow/config/seven.yaml").write_text(grid)
    cells = load_grid("seven").cells
    assert len(cells) == 28
    for key in cells:
        parameters = load_grid("seven").resolve(key).parameters
        assert parameters.commit == ("b2a60f6" if key.method == "marie-checkout" else "d539bad")
        if key.method != "marie-checkout":  # every value of the method that it extends
            other = (
                load_grid("paper")
                .resolve(CellKey(key.task, key.method.removesuffix("-checkout"), 1))
                .parameters
            )
            assert parameters.model_dump(exclude={"algorithm", "commit"}) == other.model_dump(
                exclude={"algorithm"}
            )
