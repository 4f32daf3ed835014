"""The shared bookkeeping, around an engine that only counts: world j terminates after j + 2 steps."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal

import envs
from envs.episodes import EpisodicEnvironment


class Counter(EpisodicEnvironment):
    def __init__(self, num_envs: int, episode_limit: int) -> None:
        super().__init__(
            envs.EnvSpec("counter", "toy", 1, 1, 1, 1, episode_limit, "none", "none", "paper"), num_envs, 0
        )
        self.counts = np.zeros((num_envs, 1))

    def _begin_episodes(self, worlds: np.ndarray) -> None:
        self.counts[worlds] = 0

    def _advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.counts += 1
        return 10 * self.counts[:, 0], self.counts[:, 0] == np.arange(self.num_envs) + 2

    def _engine_state(self) -> np.ndarray:
        return self.counts

    def _observe(self, state: np.ndarray) -> np.ndarray:
        return -state[:, None]

    def _save_engine(self) -> dict[str, np.ndarray]:
        return {"counts": self.counts.copy()}

    def _restore_engine(self, saved: dict[str, np.ndarray]) -> None:
        self.counts[:] = saved["counts"]

    def close(self) -> None:
        """Nothing is held."""


def test_each_world_ends_by_itself() -> None:
    env = Counter(num_envs=3, episode_limit=3)
    env.reset()
    steps = [env.step(np.zeros((3, 1, 1), dtype=np.float32)) for _ in range(4)]
    # World 1 terminates on the very step of the limit: that is the task's end, not a time-out; world 2 only
    # times out.
    assert_array_equal(
        [step.terminated for step in steps],
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], dtype=bool),
    )
    assert_array_equal(
        [step.truncated for step in steps], np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    )
    assert_array_equal([step.state[:, 0] for step in steps], [[1, 1, 1], [0, 2, 2], [1, 0, 0], [0, 1, 1]])
    assert_array_equal(
        [step.info["final_state"][:, 0] for step in steps], [[1, 1, 1], [2, 2, 2], [1, 3, 3], [2, 1, 1]]
    )
    assert_array_equal(
        [step.obs[:, 0, 0] for step in steps], [[-1, -1, -1], [0, -2, -2], [-1, 0, 0], [0, -1, -1]]
    )
    assert_array_equal(
        [step.info["episode_length"] for step in steps], [[1, 1, 1], [2, 2, 2], [1, 3, 3], [2, 1, 1]]
    )
    assert_array_equal(
        [step.info["episode_return"] for step in steps],
        [[10, 10, 10], [30, 30, 30], [10, 60, 60], [30, 10, 10]],
    )
