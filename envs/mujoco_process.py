"""What MuJoCo has once in a process, shared by all threads: its handler of warnings, its clock, its cores."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import mujoco

BROKEN = "Nan, Inf or huge value"
"""MuJoCo's warning of a broken world; environments name the world themselves."""

# The C pointer `mjcb_time`: MuJoCo's profiling clock, which its Python bindings switch on but not off.
TIMER = ctypes.c_void_p.in_dll(ctypes.CDLL(mujoco._functions.__file__), "mjcb_time")


class _Changed:
    """Sets another value while at least one thread is inside, and restores the old one after the last."""

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], None], value: Any) -> None:
        self._read, self._write, self._value = read, write, value
        self._lock, self._inside, self._before = threading.Lock(), 0, None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = self._read()
                self._write(self._value)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._write(self._before)


def _set_timer(value: int | None) -> None:
    TIMER.value = value


_listeners: dict[int, list[str]] = {}


def _pass_on(message: str) -> None:
    for listener in list(_listeners.values()):
        listener.append(message)


clock_off = _Changed(lambda: TIMER.value, _set_timer, None)
"""Reading the clock takes a tenth to a sixth of a step; only `MjData.timer` depends on it."""

_handled = _Changed(mujoco.get_mju_user_warning, mujoco.set_mju_user_warning, _pass_on)


@contextmanager
def as_python_warnings(dropped: str) -> Iterator[None]:
    """Issue MuJoCo's warnings as Python's after the block, except those that contain `dropped`.

    MuJoCo would append them to a file in the working folder. They are not issued inside its callback, where
    an exception (from a filter that turns warnings into errors) ends the process.
    """
    messages: list[str] = []
    _listeners[id(messages)] = messages
    try:
        with _handled:
            yield
    finally:
        del _listeners[id(messages)]
    for message in messages:
        if dropped not in message:
            warnings.warn(message, RuntimeWarning, stacklevel=3)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
