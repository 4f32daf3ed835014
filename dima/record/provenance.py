"""Where a number comes from: code, lock, image, machine, versions."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

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
    commit, dirty = _commit()
    return {
        "commit": commit,
        "dirty": dirty,
        "image": os.environ.get("DIMA_IMAGE_DIGEST", "none"),
        "lock": _digest(ROOT / "requirements.lock"),
        "hardware": f"{_processor()}, {os.cpu_count()} cores, {accelerator or 'no GPU'}",
        "device": device,
        "host": platform.node(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _commit() -> tuple[str | None, bool | None]:
    """The commit of the checkout this code runs from, and whether tracked files differ from it; None where git cannot tell."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None, None
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(ROOT), *arguments],  # noqa: S607 - whichever git the user has
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
