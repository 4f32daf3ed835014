"""Epochs of our own learners whose stages are watched, or that learn without new environment steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dima.learning.native_learner import NativeLearner, Watch, unwatched


@contextmanager
def watched(learner: NativeLearner, watch: Watch) -> Iterator[None]:
    """Within it the stages of the learner's epochs go through `watch`."""
    learner.watch = watch
    try:
        yield
    finally:
        learner.watch = unwatched


def learning(collected: dict[str, float], watch: Watch = unwatched) -> Watch:
    """Take no environment steps, report `collected` instead; all other stages go through `watch`."""

    def watch_learning(stage: str, work: Any) -> Any:
        return collected if stage == "collect" else watch(stage, work)

    return watch_learning
