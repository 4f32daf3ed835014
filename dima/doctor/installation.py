"""Checks of the installation: Python, packages, torch and physics."""

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
    """The running Python, which the lock must support."""
    text = f"{platform.python_version()}, {sys.prefix}"
    if (3, 11) <= sys.version_info[:2] < (3, 13):
        return Finding("ok", "Python", text)
    remedy = "the lock is for 3.11 and 3.12; recreate the environment with one of them"
    return Finding("fix", "Python", f"{text}: {remedy}")


def packages(lock: Path = ROOT / "requirements.lock") -> Finding:
    """The installed packages against the lock; a missing one matters only if this project requires it."""
    if not lock.exists():
        return Finding("note", "packages", f"there is no {lock.name} to compare them with")
    wanted = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
    installed = {name: version for name in wanted if (version := _version(name))}
    versions = {name: version.partition("+")[0] for name, version in installed.items()}
    others = [f"{name} {installed[name]}" for name, version in versions.items() if version != wanted[name]]
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
    counts = f"{len(installed)} of {len(wanted)} in the lock are installed"
    return Finding("ok", "packages", f"{counts}, all in its versions")


def accelerator() -> Finding:
    """torch, and whether it computes on a GPU."""
    try:
        import torch

        if torch.cuda.is_available():
            (torch.ones(8, device="cuda") * 2).sum().item()
            name, count = torch.cuda.get_device_name(), torch.cuda.device_count()
            return Finding("ok", "torch", f"{torch.__version__} on {name}, {count} visible")
    except Exception as error:  # wrong drivers and libraries fail in many ways
        fault = f"cannot compute ({_first_line(error)})"
        return Finding("fix", "torch", f"{fault}: install the build for this driver")
    if NVIDIA.exists():
        remedy = "install a build with CUDA, or look at nvidia-smi"
        return Finding("fix", "torch", f"{torch.__version__} does not see the NVIDIA GPU: {remedy}")
    return Finding("ok", "torch", f"{torch.__version__} on the CPU; there is no GPU")


def physics() -> Finding:
    """MuJoCo, and OpenGL for pictures, each in its own process, since a bad driver ends the process."""
    version = _version("mujoco")
    if version is None:
        remedy = "only the push-mass tasks run; pip install -e '.[mujoco]'"
        return Finding("note", "MuJoCo", f"not installed: {remedy}")
    if (fault := ask(sys.executable, "-c", PHYSICS, seconds=30).fault) is not None:
        remedy = "install it again from the lock"
        return Finding("fix", "MuJoCo", f"{version} cannot step a world ({fault}): {remedy}")
    if (fault := ask(sys.executable, "-c", PICTURE, seconds=30).fault) is not None:
        reason = fault.partition(": ")[2] or fault
        return Finding("note", "MuJoCo", f"{version} works, but not for films and pictures ({reason})")
    return Finding("ok", "MuJoCo", f"{version}, and draws pictures")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
