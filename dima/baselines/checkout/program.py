"""The interface of another upstream's own program, and what is read of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

from dima.errors import UserError


class UpstreamEvaluation(NamedTuple):
    """Means over the episodes of an evaluation after `env_steps` steps; `length` is None if not written."""

    env_steps: int
    episode_return: float
    length: float | None


class Command(NamedTuple):
    """Arguments of a Python, and the folder to run it in."""

    arguments: list[str]
    folder: Path


class Program(ABC):
    """One cell's use of an upstream; its folder `upstream` is `work`, with the private copy in `source`.

    Attributes:
        name: of the upstream; the user's settings are `DIMA_<NAME>_CHECKOUT` and `DIMA_<NAME>_PYTHON`.
        commit: that the checkout must be at: the beginning of its hash.
        episodes: of each evaluation.
        files: that a checkout must have.
        modules: that its Python must have.
    """

    name: str
    commit: str
    episodes: int
    files: tuple[str, ...]
    modules: tuple[str, ...]

    @abstractmethod
    def check(self, checkout: Path) -> None:
        """Refuse a checkout that would ignore the cell's values. Raises UserError."""

    @abstractmethod
    def prepare(self, work: Path) -> Command:
        """Write what the program reads; returns the command that starts it."""

    @abstractmethod
    def read(self, work: Path, ended: bool) -> list[UpstreamEvaluation]:
        """All evaluations so far; incomplete ones count only if the program has `ended` well.

        Raises:
            UnreadableError: the content is not what the program is known to write.
        """

    @abstractmethod
    def keep(self, work: Path) -> None:
        """Move results worth keeping out of the private copy."""


class UnreadableError(Exception):
    """A file has content that the program is not known to write."""


def scenario(task: str) -> tuple[str, str]:
    """A MAMuJoCo task by its two upstream names: `halfcheetah-2x3` is `HalfCheetah-v2` and `2x3`.

    Raises UserError for another.
    """
    robot, _, partition = task.partition("-")
    names = {"ant": "Ant-v2", "halfcheetah": "HalfCheetah-v2", "walker2d": "Walker2d-v2"}
    if robot not in names:
        raise UserError(f"A checkout does not run {task}: its MAMuJoCo robots are {', '.join(names)}.")
    return names[robot], partition
