"""What MuJoCo keeps once for the whole process: its handler of warnings and its clock.

Threads that change them share the change.
"""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

import ctypes
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import mujoco

BROKEN = "Nan, Inf or huge value"
"""What MuJoCo says of a world that broke: environments name the world themselves."""

# The C pointer `mjcb_time`: MuJoCo's clock for profiles of its own stages, which its Python bindings switch
# on and cannot switch off.
TIMER = ctypes.c_void_p.in_dll(ctypes.CDLL(mujoco._functions.__file__), "mjcb_time")


class _Changed:
    """Another value while at least one thread is inside.

    The first to enter changes it, the last to leave restores it.
    """

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


def _tell(message: str) -> None:
    for listener in list(_listeners.values()):
        listener.append(message)


clock_off = _Changed(lambda: TIMER.value, _set_timer, None)
"""Reading the clock takes a tenth to a sixth of a step; nothing but `MjData.timer` depends on it."""

_handled = _Changed(mujoco.get_mju_user_warning, mujoco.set_mju_user_warning, _tell)


@contextmanager
def as_python_warnings(dropped: str) -> Iterator[None]:
    """Give MuJoCo's warnings as Python's when the block has ended, but for those that contain `dropped`.

    MuJoCo would append them to a file in the working folder. None is raised where MuJoCo calls, because an
    exception there, from a filter that makes errors of warnings, ends the process.
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
