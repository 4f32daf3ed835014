"""Deterministic evaluation in environments of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

import envs
from dima.config import TaskConfig
from dima.random import stream_seed

Policy = Callable[[Float[np.ndarray, "batch agents observation"]], Float[np.ndarray, "batch agents action"]]


class EpisodeResult(NamedTuple):
    """One evaluation episode; `success` is None where the task has no such notion."""

    episode_return: float
    length: int
    success: bool | None


def evaluate(policy: Policy, task: TaskConfig, seed: int, grid_step: int) -> list[EpisodeResult]:
    """`task.evaluation.episodes` episodes side by side, one in each world.

    The worlds are made afresh and seeded from the cell's seed and the step of the evaluation grid alone: what is evaluated when depends
    on nothing that was evaluated before, and training never notices.

    Args:
        policy: observations to deterministic actions.
        task: what is played, and for how many episodes.
        seed: root seed of the cell.
        grid_step: where on the evaluation grid this is.
    """
    worlds = task.evaluation.episodes
    environment = envs.make(
        task.name, num_envs=worlds, seed=stream_seed(seed, "evaluation", grid_step), preset=task.preset, engine=task.simulator
    )
    results: list[EpisodeResult | None] = [None] * worlds
    observations, _ = environment.reset()
    while any(result is None for result in results):
        step = environment.step(policy(observations))
        observations = step.obs
        for world in np.flatnonzero(step.terminated | step.truncated):
            if results[world] is None:  # a world that ends early starts again; only its first episode counts
                success = bool(step.info["success"][world]) if "success" in step.info else None
                results[world] = EpisodeResult(float(step.info["episode_return"][world]), int(step.info["episode_length"][world]), success)
    environment.close()
    return [result for result in results if result is not None]
