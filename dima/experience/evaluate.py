"""Deterministic evaluation in separate environments."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

import envs
from dima.config import TaskConfig
from dima.experience.random import stream_seed

Policy = Callable[[Float[np.ndarray, "batch agents observation"]], Float[np.ndarray, "batch agents action"]]


class EpisodeResult(NamedTuple):
    """One evaluation episode; `success` is None where the task does not define it."""

    episode_return: float
    length: int
    success: bool | None


class EvaluationWorlds:
    """The worlds of a cell's evaluations, rebuilt each time unless `reset` clears all state of their engine.

    Seeds follow from the cell's seed and the step of the evaluation grid alone, so evaluations depend neither
    on earlier ones nor on training.

    Args:
        task: what is played, and for how many episodes.
        seed: root seed of the cell.
    """

    def __init__(self, task: TaskConfig, seed: int) -> None:
        self._task, self._seed = task, seed
        self._environment: envs.BatchedEnvironment | None = None

    def evaluate(self, policy: Policy, grid_step: int) -> list[EpisodeResult]:
        """Play `task.evaluation.episodes` episodes, one in each world.

        Args:
            policy: observations to deterministic actions.
            grid_step: where on the evaluation grid this is.
        """
        seed = stream_seed(self._seed, "evaluation", grid_step)
        environment = self._environment or self._build(seed)
        self._environment = None  # kept only if nothing goes wrong
        try:
            results = _play(environment, policy, seed)
        except BaseException:
            environment.close()
            raise
        if environment.starts_afresh:
            self._environment = environment
        else:
            environment.close()
        return results

    def _build(self, seed: int) -> envs.BatchedEnvironment:
        task = self._task
        return envs.make(
            task.name, num_envs=task.evaluation.episodes, seed=seed, preset=task.preset, engine=task.simulator
        )

    def close(self) -> None:
        """Release the worlds."""
        if self._environment is not None:
            self._environment.close()


def _play(environment: envs.BatchedEnvironment, policy: Policy, seed: int) -> list[EpisodeResult]:
    results: list[EpisodeResult | None] = [None] * environment.num_envs
    observations, _ = environment.reset(seed)
    while any(result is None for result in results):
        step = environment.step(policy(observations))
        observations = step.obs
        for world in np.flatnonzero(step.terminated | step.truncated):
            if results[world] is None:  # a world that ends early starts again; only its first episode counts
                success = bool(step.info["success"][world]) if "success" in step.info else None
                results[world] = EpisodeResult(
                    float(step.info["episode_return"][world]),
                    int(step.info["episode_length"][world]),
                    success,
                )
    return [result for result in results if result is not None]
