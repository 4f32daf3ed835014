"""Where a number comes from: code, lock, image, machine, versions."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from dima.containers.digest import image_of_process
from dima.record.files import read_json

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "gymnasium", "gymnasium-robotics", "harl-aht", "mujoco", "numpy", "sacred", "safetensors", "snakemake", "torch",
    "vector-quantize-pytorch",
)  # fmt: skip


def provenance(device: str, accelerator: str | None) -> dict[str, Any]:
    """What a row of a table carries about its origin.

    Args:
        device: where the cell computes.
        accelerator: name of the GPU, None without one.
    """
    commit, dirty = commit_of(ROOT)
    return {
        "commit": commit,
        "dirty": dirty,
        "image": image_of_process(),
        "lock": _digest(ROOT / "requirements.lock"),
        "hardware": f"{_processor()}, {os.cpu_count()} cores, {accelerator or 'no GPU'}",
        "device": device,
        "host": platform.node(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def commit_of(root: Path) -> tuple[str | None, bool | None]:
    """The commit of the sources in `root`, and whether tracked files differ from it; None for what cannot be told.

    An image has no git, but a file that says what git said when it was built. images.lock is passed over: every build changes it.
    """
    built = read_json(root / "build.json")
    if built is not None:
        return built["commit"] or None, built["dirty"]
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    changes = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)containers/images.lock")
    return commit, None if changes is None else bool(changes)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(root), *arguments],  # noqa: S607 - whichever git the user has
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
