"""What a driver of an upstream's own program is, and what it reads of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

from dima.errors import UserError


class UpstreamEvaluation(NamedTuple):
    """An evaluation after `env_steps` steps, of which only means over its episodes are known.

    `length` is None where it is not written.
    """

    env_steps: int
    episode_return: float
    length: float | None


class Command(NamedTuple):
    """Arguments of a Python, and the folder that it is to be run in."""

    arguments: list[str]
    folder: Path


class Program(ABC):
    """One cell's use of an upstream.

    `work` is the folder `upstream` of the cell, which has the private copy in `source`.

    Attributes:
        name: of the upstream; its settings from outside are `DIMA_<NAME>_CHECKOUT` and `DIMA_<NAME>_PYTHON`.
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
        """Refuse a checkout that would not heed what it is told. Raises UserError."""

    @abstractmethod
    def prepare(self, work: Path) -> Command:
        """Write what the program reads, and say how it is started."""

    @abstractmethod
    def read(self, work: Path, ended: bool) -> list[UpstreamEvaluation]:
        """All evaluations that are written by now.

        What is half written waits, unless the program has `ended` well.

        Raises:
            UnreadableError: something else is written than the program is known to write.
        """

    @abstractmethod
    def keep(self, work: Path) -> None:
        """Move results that are to stay out of the private copy."""


class UnreadableError(Exception):
    """The message says what is written, and where, that the program is not known to write."""


def scenario(task: str) -> tuple[str, str]:
    """A MAMuJoCo task by its two upstream names, as `halfcheetah-2x3` by `HalfCheetah-v2` and `2x3`.

    Raises UserError for another.
    """
    robot, _, partition = task.partition("-")
    names = {"ant": "Ant-v2", "halfcheetah": "HalfCheetah-v2", "walker2d": "Walker2d-v2"}
    if robot not in names:
        raise UserError(f"A checkout does not run {task}: its MAMuJoCo robots are {', '.join(names)}.")
    return names[robot], partition
