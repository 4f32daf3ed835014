"""Real experience that a world model is compared with.

Whole episodes, and pieces of them with the past a model needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

import envs
from dima.config import TaskConfig
from dima.errors import UserError
from dima.experience.collect import Sampling
from dima.experience.random import stream_seed
from dima.learning.dima_learner import DimaLearner
from dima.world_model.world_model import WorldModel


@dataclass(frozen=True)
class RealEpisode:
    """An episode of T steps in raw units.

    `simulations[t]` is the simulator before step t, where it was kept.
    """

    state: Float[np.ndarray, "time state"]
    observation: Float[np.ndarray, "time agents observation"]
    action: Float[np.ndarray, "time agents action"]
    reward: Float[np.ndarray, " time"]
    terminated: Bool[np.ndarray, " time"]
    truncated: Bool[np.ndarray, " time"]
    simulations: tuple[envs.SimState, ...] = ()

    def __len__(self) -> int:
        return len(self.reward)


@dataclass(frozen=True)
class Segments:
    """Pieces of episodes: the n states before and at their start, and the H steps from there."""

    history: Float[Tensor, "segments past state"]
    past_action: Float[Tensor, "segments past-1 agents action"]
    action: Float[Tensor, "segments horizon agents action"]
    state: Float[Tensor, "segments horizon state"]
    """after each step"""
    observation: Float[Tensor, "segments horizon agents observation"]
    """after each step"""

    @property
    def given(self) -> tuple[Tensor, Tensor, Tensor]:
        """What a model is given: states up to the start, the actions between them, and those from there."""
        return self.history, self.past_action, self.action


@dataclass(frozen=True)
class Study:
    """What the studies of a cell share.

    Attributes:
        world_model: of the cell's newest checkpoint.
        environment: one world of the task, for its simulator and its pictures.
        episodes: new ones of the cell's policy.
        past: n, states that the model is given.
        count: segments to compare.
        device: of the model.
        seed: of segments, directions, noise and orders.
    """

    world_model: WorldModel
    environment: envs.BatchedEnvironment
    episodes: list[RealEpisode]
    past: int
    count: int
    device: torch.device
    seed: int

    def segments(self, episodes: list[RealEpisode], horizon: int) -> Segments:
        """`count` segments of `horizon` steps."""
        return cut(episodes, self.starts(episodes, horizon), self.past, horizon, self.device)

    def starts(self, episodes: list[RealEpisode], horizon: int) -> list[tuple[int, int]]:
        """Their (episode, step) pairs, uniform over all steps with `past` states up to them and `horizon`
        steps and a state after.

        Raises:
            UserError: no episode is long enough.
        """
        past, generator = self.past, np.random.default_rng(self.seed)
        fitting = [
            (number, step)
            for number, episode in enumerate(episodes)
            for step in range(past - 1, len(episode) - horizon)
        ]
        if not fitting:
            raise UserError(
                f"No episode of {self.environment.spec.task} is long enough for a segment of {past + horizon} steps."
            )
        return [
            fitting[index]
            for index in generator.choice(len(fitting), size=self.count, replace=self.count > len(fitting))
        ]


def held_out_episodes(
    learner: DimaLearner, task: TaskConfig, seed: int, count: int, *, keep_simulations: bool = False
) -> list[RealEpisode]:
    """New episodes of the stochastic policy: the world model has seen none of them."""
    return play(learner.exploring_policy(seed), task, seed, count, keep_simulations=keep_simulations)


def play(
    policy: Sampling, task: TaskConfig, seed: int, count: int, *, keep_simulations: bool = False
) -> list[RealEpisode]:
    """`count` episodes, in a world and with noise of their own that follow from `seed` alone."""
    environment = envs.make(
        task.name, seed=stream_seed(seed, "study"), preset=task.preset, engine=task.simulator
    )
    noise = np.random.Generator(np.random.PCG64(stream_seed(seed, "study actions")))
    try:
        return [_play(policy, environment, noise, keep_simulations) for _ in range(count)]
    finally:
        environment.close()


def _play(
    policy: Sampling, environment: envs.BatchedEnvironment, noise: np.random.Generator, keep_simulations: bool
) -> RealEpisode:
    rows: list[tuple[np.ndarray, ...]] = []
    simulations = []
    shape = (1, environment.spec.n_agents, environment.spec.act_dim)
    observation, state = environment.reset()
    while True:
        if keep_simulations:
            simulations.append(environment.get_sim_state())
        action = policy(observation, noise.standard_normal(shape, dtype=np.float32))
        result = environment.step(action)
        rows.append(
            (state[0], observation[0], action[0], result.reward[0], result.terminated[0], result.truncated[0])
        )
        observation, state = result.obs, result.state
        if result.terminated[0] or result.truncated[0]:
            return RealEpisode(
                *(np.stack(column) for column in zip(*rows, strict=True)), simulations=tuple(simulations)
            )


def training_episodes(learner: DimaLearner) -> list[RealEpisode]:
    """The episodes in the replay memory, oldest first."""
    return [
        RealEpisode(
            *(
                getattr(part, name).cpu().numpy()
                for name in ("state", "observation", "action", "reward", "terminated", "truncated")
            )
        )
        for part in learner.replay.episodes()
    ]


def cut(
    episodes: list[RealEpisode], chosen: list[tuple[int, int]], past: int, horizon: int, device: torch.device
) -> Segments:
    """The segments that begin at the chosen steps."""

    def stacked(name: str, first: int, last: int) -> Tensor:
        pieces = [getattr(episodes[number], name)[step + first : step + last] for number, step in chosen]
        return torch.from_numpy(np.stack(pieces)).float().to(device)

    return Segments(
        history=stacked("state", 1 - past, 1),
        past_action=stacked("action", 1 - past, 0),
        action=stacked("action", 0, horizon),
        state=stacked("state", 1, horizon + 1),
        observation=stacked("observation", 1, horizon + 1),
    )
