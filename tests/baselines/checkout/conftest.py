"""Stand-in checkouts of HARL and MARIE in git, a Python that has what they need, and a grid of small
cells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from dima.baselines.harl_settings import off_policy_settings, on_policy_settings
from dima.config import HarlOffPolicySettings, HarlOnPolicySettings
from dima.config.grid import CellKey, load_grid

STAND_IN = Path(__file__).parent / "stand_in"
MODULES = ("gym", "ray", "wandb", "tensorboardX", "setproctitle", "absl")
VERSIONS = {"gym": "0.21.0", "mujoco-py": "2.1.2.14"}
ON_POLICY = {"rollout_threads": 2, "episode_length": 50}
HASAC = {"rollout_threads": 5, "warmup_steps": 200, "train_interval": 10, "batch_size": 100}
OUTER = {
    "seed": {"seed_specify": True, "seed": 1},
    "device": {"cuda": True, "cuda_deterministic": True, "torch_threads": 4},
    "train": {"num_env_steps": 1, "eval_interval": 25, "log_interval": 5, "model_dir": None},
    "eval": {"use_eval": False, "n_eval_rollout_threads": 20, "eval_episodes": 40},
    "render": {"use_render": False, "render_episodes": 10},
    "logger": {"log_dir": "./results"},
}
"""HARL's own sections besides those of a method, with values that a cell must replace or leave."""


class Checkout(NamedTuple):
    """A stand-in's git checkout."""

    folder: Path

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
        command = ["git", "-C", str(self.folder), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    @property
    def commit(self) -> str:
        return self.git("rev-parse", "HEAD")

    def commit_all(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "a change")


class Upstreams(NamedTuple):
    """What the environment variables name, and the folder that commands run in."""

    workplace: Path
    harl: Checkout
    marie: Checkout
    python: Path

    def arguments(self, method: str, *options: str, task: str = "halfcheetah-2x3") -> list[str]:
        return [
            "train",
            "--grid",
            "small",
            "--task",
            task,
            "--method",
            method,
            "--seed",
            "2",
            "--device",
            "cpu",
            *options,
        ]

    def folder(self, method: str) -> Path:
        return self.workplace / "results/small/cells/halfcheetah-2x3" / method / "seed-2"


@pytest.fixture
def upstreams(
    workplace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Upstreams:
    """Both checkouts and a Python for them, named by the environment, and the grid `small` that asks for
    their commits."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    found = Upstreams(workplace, _harl(elsewhere / "HARL"), _marie(elsewhere / "MARIE"), _python(elsewhere))
    for name, checkout in (("HARL", found.harl), ("MARIE", found.marie)):
        monkeypatch.setenv(f"DIMA_{name}_CHECKOUT", str(checkout.folder))
        monkeypatch.setenv(f"DIMA_{name}_PYTHON", str(found.python))
    _write_grid(workplace, found)
    return found


def _write_grid(workplace: Path, found: Upstreams) -> None:
    harl, marie = found.harl.commit[:7], found.marie.commit
    grid = {
        "experiments": {
            "final_returns": [
                {
                    "tasks": ["halfcheetah-2x3"],
                    "methods": ["mappo-checkout", "happo-checkout", "hasac-checkout", "marie-checkout"],
                    "seeds": [2],
                }
            ]
        },
        "overrides": {
            "tasks": {"halfcheetah-2x3": {"env_steps": 1250, "evaluation": {"every": 300, "episodes": 10}}},
            "methods": {
                "mappo-checkout": {**ON_POLICY, "commit": harl},
                "happo-checkout": {**ON_POLICY, "commit": harl},
                "hasac-checkout": {**HASAC, "commit": harl},
                "marie-checkout": {"commit": marie},
            },
        },
    }
    text = re.sub(r"commit: '?(\w+)'?", r'commit: "\1"', yaml.safe_dump(grid, sort_keys=False))
    (workplace / "workflow/config/small.yaml").write_text(text)
    impossible = [
        {"tasks": ["push-mass", "pen"], "methods": ["happo-checkout", "marie-checkout"], "seeds": [2]}
    ]
    (workplace / "workflow/config/impossible.yaml").write_text(
        yaml.safe_dump({"experiments": {"final_returns": impossible}})
    )


def _harl(folder: Path) -> Checkout:
    """With every key that HARL's own files have, by HARL's names, and values that no cell has."""
    shutil.copytree(STAND_IN / "harl", folder)
    paper = load_grid("paper", Path(__file__).parents[3] / "workflow/config")
    configs = folder / "harl/configs"
    (configs / "algos_cfgs").mkdir(parents=True)
    for method in ("mappo", "happo", "hasac"):
        parameters = paper.resolve(CellKey("halfcheetah-2x3", method, 1)).parameters
        if isinstance(parameters, HarlOnPolicySettings):
            sections = on_policy_settings(parameters)
        else:
            assert isinstance(parameters, HarlOffPolicySettings)
            sections = off_policy_settings(parameters)
        theirs = {
            name: {**dict.fromkeys(values, "unset"), **OUTER.get(name, {})}
            for name, values in {**OUTER, **sections}.items()
        }
        (configs / f"algos_cfgs/{method}.yaml").write_text(yaml.safe_dump(theirs))
    (configs / "envs_cfgs").mkdir()
    mamujoco = {"scenario": "Walker2d-v2", "agent_conf": "6x1", "agent_obsk": 0, "episode_limit": 1000}
    (configs / "envs_cfgs/mamujoco.yaml").write_text(yaml.safe_dump(mamujoco))
    return _committed(folder)


def _marie(folder: Path) -> Checkout:
    shutil.copytree(STAND_IN / "marie", folder)
    return _committed(folder)


def _committed(folder: Path) -> Checkout:
    checkout = Checkout(folder)
    checkout.git("init", "-q")
    checkout.commit_all()
    return checkout


def _python(folder: Path) -> Path:
    """This Python with empty modules for those of upstreams, of which two have versions."""
    modules = folder / "modules"
    modules.mkdir()
    for name in MODULES:
        (modules / f"{name}.py").write_text("")
    for name, version in VERSIONS.items():
        information = modules / f"{name.replace('-', '_')}-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{modules}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Takes away, until the test ends, the right to write anywhere in a folder; root keeps it all the
    same."""
    changed: list[tuple[Path, int]] = []

    def protect(folder: Path) -> None:
        for path in [folder, *folder.rglob("*")]:
            changed.append((path, path.stat().st_mode))
            os.chmod(path, path.stat().st_mode & ~0o222)

    yield protect
    for path, mode in changed:
        os.chmod(path, mode)
