"""Where a number comes from: code, lock, image, machine, versions.

Without git, `build.json` has the commit: an image has it from its build, and for a copy of a checkout
`python -m dima.record.provenance` writes it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from dima.record.files import read_json, write_json
from dima.record.image import image_of_process

ROOT = Path(__file__).resolve().parents[2]
BUILD = "build.json"
SOURCES = ("dima", "envs", "benchmarks", "workflow")
"""Folders of the sources whose digest `build.json` holds."""
PACKAGES = (
    "gymnasium", "gymnasium-robotics", "harl-aht", "mujoco", "numpy", "sacred", "safetensors", "snakemake",
    "torch", "vector-quantize-pytorch",
)  # fmt: skip


def provenance(device: str, accelerator: str | None) -> dict[str, Any]:
    """The origin of a number: commit, image, lock, hardware and versions.

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
    """The commit of the sources in `root`, and whether tracked files differ from it; None where unknown.

    images.lock is ignored: every build changes it. Without git both come from `build.json`; sources that were
    changed since it was written count as different.
    """
    if not (root / ".git").exists():  # git itself would answer for a repository around this folder
        built = read_json(root / BUILD) or {"commit": None, "dirty": None}
        changed = "sources" in built and built["sources"] != _digest_of_sources(root)
        return built["commit"] or None, True if changed else built["dirty"]
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    changes = _git(
        root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)containers/images.lock"
    )
    return commit, None if changes is None else bool(changes)


def note_commit(root: Path) -> tuple[str | None, bool | None]:
    """Write `build.json` for a copy of the checkout in `root`; returns what `commit_of` does."""
    commit, dirty = commit_of(root)
    if commit is not None:
        write_json(root / BUILD, {"commit": commit, "dirty": dirty, "sources": _digest_of_sources(root)})
    return commit, dirty


def _digest_of_sources(root: Path) -> str:
    """SHA-256 of the names and contents of all source files."""
    found = hashlib.sha256()
    files = (
        path
        for folder in SOURCES
        for path in (root / folder).rglob("*")
        if path.suffix in (".py", ".yaml", ".smk")
    )
    for path in sorted(files):
        found.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()


def _git(root: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
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
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def main() -> int:
    """Write `build.json` for a copy of this checkout; 2 where git has no commit."""
    commit, dirty = note_commit(ROOT)
    if commit is None:
        print("No commit can be read here: run this in a clone, with git installed.", file=sys.stderr)
        return 2
    differs = ", but tracked files differ from it" if dirty else ""
    print(f"{BUILD}: {commit}{differs}. Copy it along with the checkout.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
