"""Python, packages, torch and physics: what a process of this installation can use."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from pathlib import Path

from dima.doctor.finding import Finding, ask
from dima.record.provenance import ROOT

PICTURE = """
import sys
from envs.graphics import choose_backend, import_mujoco
import_mujoco()
choose_backend()
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_step(model, data)
with mujoco.Renderer(model, 16, 16) as renderer:
    renderer.update_scene(data)
    renderer.render()
"""
PHYSICS = "import mujoco; mujoco.mj_step(m := mujoco.MjModel.from_xml_string('<mujoco/>'), mujoco.MjData(m))"
NVIDIA = Path("/dev/nvidiactl")


def python() -> Finding:
    """The Python that runs, which must be one that the lock is for."""
    text = f"{platform.python_version()}, {sys.prefix}"
    if (3, 11) <= sys.version_info[:2] < (3, 13):
        return Finding("ok", "Python", text)
    return Finding(
        "fix", "Python", f"{text}: the lock is for 3.11 and 3.12; make the environment anew with one of them"
    )


def packages(lock: Path = ROOT / "requirements.lock") -> Finding:
    """The installed packages against the lock.

    What of it is not installed matters only where this project itself needs it.
    """
    if not lock.exists():
        return Finding("note", "packages", f"there is no {lock.name} here to compare them with")
    wanted = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
    installed = {name: version for name in wanted if (version := _version(name))}
    others = [
        f"{name} {version}"
        for name, version in installed.items()
        if version.partition("+")[0] != wanted[name]
    ]
    required = [text.partition(";") for text in importlib.metadata.requires("dima") or []]
    needed = [
        re.split(r"[^\w.-]", text)[0]
        for text, _, marker in required
        if "extra ==" not in marker or "training" in marker
    ]
    absent = [name for name in needed if not _version(name)]
    remedy = "install what the lock names: pip install -r requirements.lock"
    if absent:
        return Finding("fix", "packages", f"{', '.join(absent)} missing: {remedy}")
    if others:
        return Finding("fix", "packages", f"not those of the lock: {', '.join(others)}: {remedy}")
    return Finding(
        "ok", "packages", f"{len(installed)} of {len(wanted)} in the lock are installed, all of its versions"
    )


def accelerator() -> Finding:
    """torch, and whether it computes on a GPU."""
    try:
        import torch

        if torch.cuda.is_available():
            (torch.ones(8, device="cuda") * 2).sum().item()
            return Finding(
                "ok",
                "torch",
                f"{torch.__version__} on {torch.cuda.get_device_name()}, {torch.cuda.device_count()} visible",
            )
    except Exception as error:  # a driver or a library that does not fit fails in many ways
        return Finding(
            "fix", "torch", f"cannot compute ({_first_line(error)}): install the build for this driver"
        )
    if NVIDIA.exists():
        return Finding(
            "fix",
            "torch",
            f"{torch.__version__} does not see this machine's NVIDIA GPU: install a build with CUDA, or look at nvidia-smi",
        )
    return Finding("ok", "torch", f"{torch.__version__} on the CPU; there is no GPU")


def physics() -> Finding:
    """MuJoCo, and OpenGL to draw with.

    Tried in processes of their own, since a bad driver ends the process that loads it.
    """
    version = _version("mujoco")
    if version is None:
        return Finding(
            "note", "MuJoCo", "not installed: only the push-mass tasks run; pip install -e '.[mujoco]'"
        )
    if (fault := ask(sys.executable, "-c", PHYSICS, seconds=30).fault) is not None:
        return Finding(
            "fix", "MuJoCo", f"{version} cannot step a world ({fault}): install it again from the lock"
        )
    if (fault := ask(sys.executable, "-c", PICTURE, seconds=30).fault) is not None:
        return Finding(
            "note",
            "MuJoCo",
            f"{version} works, but draws no picture, for films and studies ({fault.partition(': ')[2] or fault})",
        )
    return Finding("ok", "MuJoCo", f"{version}, and draws pictures")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
