"""What all models of a task and seed imagine alike (E4).

One real episode, where they begin in it, and the actions from there.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dima.config import CellConfig
from dima.errors import UserError
from dima.experience.random import stream_seed
from dima.learning.learner import Past
from dima.studies.episodes import RealEpisode, play
from dima.studies.restore import acting

SHOWN = (1, 5, 10, 14)
"""Steps after the start that are drawn. MARIE imagines horizon - 1 = 14 steps."""


@dataclass(frozen=True)
class Scene:
    """An episode and a piece of it.

    Attributes: episode: whole, in raw units. start: the step of the episode that imagination begins after:
        row `start` is the last that a model is told. horizon: steps from there, the last of `SHOWN` that the
        episode has room for. actor: whose policy acted.
    """

    episode: RealEpisode
    start: int
    horizon: int
    actor: str

    @property
    def steps(self) -> list[int]:
        """Steps after the start that are drawn."""
        return [step for step in SHOWN if step <= self.horizon]

    @property
    def past(self) -> Past:
        """The episode up to the start."""
        episode, end = self.episode, self.start + 1
        return Past(episode.state[:end], episode.observation[:end], episode.action[: self.start])

    @property
    def state(self) -> Float[np.ndarray, "horizon state"]:
        """The real states after each step."""
        return self.episode.state[self.start + 1 : self.start + self.horizon + 1]

    @property
    def observation(self) -> Float[np.ndarray, "horizon agents observation"]:
        """The real observations after each step."""
        return self.episode.observation[self.start + 1 : self.start + self.horizon + 1]

    @property
    def action(self) -> Float[np.ndarray, "horizon agents action"]:
        """What the agents did in each step, not clipped."""
        return self.episode.action[self.start : self.start + self.horizon]


def play_scene(config: CellConfig, folder: Path) -> Scene:
    """A new episode of the stochastic policy of the cell in `folder`, and a start.

    Both follow from the cell and its seed alone.

    Raises:
        UserError: the cell has no checkpoint, or the episode is too short.
    """
    with closing(acting(config, folder)) as learner:
        (episode,) = play(learner.exploring_policy(config.seed), config.task, config.seed, 1)
        start, horizon = choose_start(episode.observation, learner.past, config)
    return Scene(episode, start, horizon, f"{config.method} seed-{config.seed}")


def choose_start(
    observation: Float[np.ndarray, "time agents observation"], past: int, config: CellConfig
) -> tuple[int, int]:
    """A start with `past` states up to it and the horizon after it, and that horizon.

    The longest of `SHOWN` that fits.

    Uniform over the half of all such starts after which more happens, by how far the observation is from the
    start's at the horizon: next to a world that stands still every model looks bad.

    Args:
        observation: of the real episode.
        past: states that a model is given.
        config: of the cell whose episode it is; the start follows from its seed.

    Raises:
        UserError: none fits.
    """
    length = len(observation)
    for horizon in reversed(SHOWN):
        if length - horizon > past - 1:
            before, after = observation[past - 1 : length - horizon], observation[past - 1 + horizon :]
            motion = np.abs(after.astype(np.float64) - before).mean(axis=(1, 2))
            eventful = np.sort(np.argsort(-motion, kind="stable")[: (len(motion) + 1) // 2])
            generator = np.random.default_rng(stream_seed(config.seed, "study start"))
            return past - 1 + int(generator.choice(eventful)), horizon
    raise UserError(
        f"The episode of {config.method} on {config.task.name} ended after {length} steps: too few to imagine any of them."
    )
