"""Stepping the real environment with the current policy, one world, chunks of episodes for the replay memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

import envs
from dima.behavior.networks import Actor
from dima.config import CellConfig
from dima.random import stream_seed
from dima.replay import FIELDS, Episode


class Collector:
    """The training environment and the episode in progress.

    Args:
        config: of the cell: task, preset and seed.
    """

    def __init__(self, config: CellConfig) -> None:
        task = config.task
        self.environment = envs.make(
            task.name, num_envs=1, seed=stream_seed(config.seed, "environment"), preset=task.preset, engine=task.simulator
        )
        self.spec = self.environment.spec
        self._noise = np.random.Generator(np.random.PCG64(stream_seed(config.seed, "exploration")))
        self._observation, self._state = self.environment.reset()
        self._pending: dict[str, list[np.ndarray]] = {name: [] for name in FIELDS}
        self.episode_returns: list[float] = []

    def step(self, actor: Actor | None) -> bool:
        """One environment step with a sampled action (uniform in [-1, 1] without an actor); whether the episode ended with it."""
        observation, state = self._observation, self._state
        action = self._sample(actor, observation)
        result = self.environment.step(action)
        self._observation, self._state = result.obs, result.state
        row = (state, observation, action, result.reward, result.terminated, result.truncated, result.info["final_state"])
        for name, values in zip(("state", "observation", "action", "reward", "terminated", "truncated", "next_state"), row, strict=True):
            self._pending[name].append(values[0])
        ended = bool(result.terminated[0] or result.truncated[0])
        if ended:
            self.episode_returns.append(float(result.info["episode_return"][0]))
        return ended

    def take(self) -> Episode:
        """The steps since the last call, as (a part of) an episode."""
        arrays = {name: torch.from_numpy(np.stack(rows)) for name, rows in self._pending.items()}
        self._pending = {name: [] for name in FIELDS}
        return Episode(**arrays)

    def take_returns(self) -> list[float]:
        """Returns of the episodes finished since the last call."""
        returns, self.episode_returns = self.episode_returns, []
        return returns

    @torch.no_grad()
    def _sample(self, actor: Actor | None, observation: Float[np.ndarray, "1 agents observation"]) -> Float[np.ndarray, "1 agents action"]:
        shape = (1, self.spec.n_agents, self.spec.act_dim)
        if actor is None:
            return self._noise.uniform(-1.0, 1.0, shape).astype(np.float32)
        policy = actor(torch.from_numpy(observation))
        noise = self._noise.standard_normal(shape, dtype=np.float32)
        return policy.mean.numpy() + policy.stddev.numpy() * noise

    def state_dict(self) -> dict[str, Any]:
        """Environment and exploration noise, once all steps and returns have been taken."""
        return {
            "environment": saved_simulation(self.environment),
            "noise": self._noise.bit_generator.state,
            "observation": self._observation,
            "state": self._state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state` bit for bit; with a new episode where the simulator could not be saved."""
        self._noise.bit_generator.state = state["noise"]
        if state["environment"] is None:
            self._observation, self._state = self.environment.reset()
        else:
            self.environment.set_sim_state(state["environment"])
            self._observation, self._state = state["observation"], state["state"]


def saved_simulation(environment: envs.BatchedEnvironment) -> envs.SimState | None:
    """What the simulator needs to go on bit for bit; None where it cannot be saved, as Isaac Gym: a resumed run starts an episode."""
    try:
        return environment.get_sim_state()
    except envs.UnsupportedSimStateError:
        return None
