"""One evaluation in new worlds."""

from __future__ import annotations

from contextlib import closing

from dima.config import TaskConfig
from dima.experience.evaluate import EpisodeResult, EvaluationWorlds, Policy


def evaluate(policy: Policy, task: TaskConfig, seed: int, grid_step: int) -> list[EpisodeResult]:
    with closing(EvaluationWorlds(task, seed)) as worlds:
        return worlds.evaluate(policy, grid_step)
