"""The headless OpenGL library that MuJoCo draws with, found at the first picture; imports no simulator."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from importlib import import_module
from typing import Any

from envs.interface import MissingGraphicsError

# MuJoCo's headless backends, and what PyOpenGL loads for each: one library of every group.
BACKENDS = {"egl": (("EGL",), ("OpenGL", "GL")), "osmesa": (("OSMesa",),)}


def import_mujoco() -> None:
    """Import mujoco, which reads MUJOCO_GL as it is imported.

    Raises:
        ModuleNotFoundError: it is not installed.
        MissingGraphicsError: it cannot be imported with this MUJOCO_GL.
    """
    try:
        import_module("mujoco")
    except ModuleNotFoundError:
        raise
    except Exception as error:
        if not _wanted():
            raise
        raise MissingGraphicsError(f"MuJoCo cannot be imported: {remedy()}") from error


def choose_backend() -> None:
    """Have `mujoco.Renderer` draw with EGL, else with OSMesa, unless MUJOCO_GL names its backend.

    MuJoCo would fall back on a window system, and PyOpenGL keeps the first library it tries: look before.

    Raises:
        MissingGraphicsError: none of them can be loaded.
    """
    wanted = _wanted()
    if wanted and wanted not in BACKENDS:
        return
    candidates = [wanted] if wanted else list(BACKENDS)
    for backend in candidates:
        if all(any(_loads(library) for library in group) for group in BACKENDS[backend]):
            chosen: Any = import_module("mujoco.rendering.classic.gl_context")
            try:
                chosen.GLContext = import_module(f"mujoco.{backend}").GLContext
            except Exception as error:  # for instance PYOPENGL_PLATFORM may name another platform
                raise MissingGraphicsError(
                    f"no picture can be drawn with {backend} ({error}): {remedy()}"
                ) from error
            return
    raise MissingGraphicsError(
        f"no picture can be drawn, since {' and '.join(candidates)} cannot be loaded: {remedy()}"
    )


def remedy() -> str:
    """What to do without OpenGL."""
    install = "install the Debian packages libegl1 and libgl1, or libosmesa6"
    return f"unset MUJOCO_GL, which is {_wanted()!r}, or {install}" if _wanted() else install


def _wanted() -> str:
    return os.environ.get("MUJOCO_GL", "").lower().strip()


def _loads(library: str) -> bool:
    """Whether the library loads under one of the names that PyOpenGL tries."""
    for ending in ("", *(f".{version}" for version in range(10))):
        with suppress(OSError):
            ctypes.CDLL(f"lib{library}.so{ending}")
            return True
    return False
