"""MuJoCo's own warnings, which it would append to a file in the working folder."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import mujoco


@contextmanager
def as_python_warnings(dropped: str | None = None) -> Iterator[None]:
    """Give MuJoCo's warnings as Python's when the block has ended, but for those that contain `dropped`.

    None is raised where MuJoCo calls, because an exception there, from a filter that makes errors of warnings, ends the process.
    """
    messages: list[str] = []
    previous = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(messages.append)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(previous)
    for message in messages:
        if dropped is None or dropped not in message:
            warnings.warn(message, RuntimeWarning, stacklevel=3)
