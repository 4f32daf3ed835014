"""Evaluation during training: on a GPU in a process of its own, which needs a CPU core and no GPU."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch

from dima.config import TaskConfig
from dima.errors import CrashedError
from dima.experience.evaluate import EpisodeResult, EvaluationWorlds, Policy


class Evaluated(NamedTuple):
    """The results of an evaluation, and the environment steps at which its policy was copied."""

    grid_step: int
    env_steps: int
    results: list[EpisodeResult]


class Evaluations:
    """A run's evaluations, each with a copy of the policy.

    A thread would slow training down: both would compete for Python's global lock with many small operators.

    Args:
        task: what is played.
        seed: root seed of the cell.
        parallel: play in another process, so that `start` returns at once; otherwise `start` plays.
    """

    def __init__(self, task: TaskConfig, seed: int, *, parallel: bool) -> None:
        self._worlds = EvaluationWorlds(task, seed)
        self._begun: deque[tuple[int, int]] = deque()
        self._done: deque[list[EpisodeResult]] = deque()
        self._process = None
        if parallel:
            context = multiprocessing.get_context("spawn")  # a fork would inherit a GPU it cannot use
            self._connection, theirs = context.Pipe()
            self._process = context.Process(
                target=_serve, args=(theirs, self._worlds), daemon=True, name="evaluation"
            )
            self._process.start()
            theirs.close()

    @property
    def pending(self) -> bool:
        """Whether an evaluation was started and not taken yet."""
        return bool(self._begun)

    def start(self, policy: Policy, grid_step: int, env_steps: int) -> None:
        """Start an evaluation. The policy must be picklable if it is played in another process."""
        if self._process is None:
            self._done.append(self._worlds.evaluate(policy, grid_step))
        else:
            try:
                self._connection.send((policy, grid_step))
            except OSError as error:
                raise self._died() from error
        self._begun.append((grid_step, env_steps))

    def take(self) -> Evaluated:
        """The oldest evaluation that was not taken, once it has ended.

        Raises:
            CrashedError: the process of the evaluations died.
            Exception: raised by the evaluation.
        """
        if self._process is not None:
            try:
                found = self._connection.recv()
            except (EOFError, OSError) as error:
                raise self._died() from error
            if isinstance(found, BaseException):
                raise found
            self._done.append(found)
        return Evaluated(*self._begun.popleft(), self._done.popleft())

    def _died(self) -> CrashedError:
        again = "the same command continues from the last checkpoint"
        return CrashedError(f"The process that evaluates during training died; {again}")

    def close(self) -> None:
        """Kill the process and release the worlds."""
        self._worlds.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()


def _serve(connection: Connection, worlds: EvaluationWorlds) -> None:
    """Play until the training process ends, in whatever way, which closes its end of the connection."""
    for number in (signal.SIGINT, signal.SIGTERM):  # both may come to all processes of a job
        signal.signal(number, signal.SIG_IGN)  # it ends with the training process, which says what happened
    torch.set_num_threads(1)
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        try:
            answer: object = worlds.evaluate(*request)
        except Exception as error:
            answer = error
        try:
            connection.send(answer)
        except OSError:
            return
