"""Stepping the real environment with the current policy: one world, and parts of episodes for a replay memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

import envs
from dima.config import CellConfig, CollectionConfig
from dima.errors import UserError
from dima.random import stream_seed
from dima.replay import FIELDS, Episode

Sampling = Callable[[Float[np.ndarray, "1 agents observation"], Float[np.ndarray, "1 agents action"]], Float[np.ndarray, "1 agents action"]]
"""Actions that a policy draws, from observations and standard normal noise."""


class Collector:
    """The training environment and the episode in progress.

    Args:
        config: of the cell: task, preset and seed.
        schedule: when an epoch has collected enough.

    Raises:
        UserError: the task has another number of agents than its configuration says.
    """

    def __init__(self, config: CellConfig, schedule: CollectionConfig) -> None:
        task = config.task
        self._schedule = schedule
        self._budget = task.env_steps
        self.environment = envs.make(
            task.name, num_envs=1, seed=stream_seed(config.seed, "environment"), preset=task.preset, engine=task.simulator
        )
        self.spec = self.environment.spec
        if self.spec.n_agents != task.agents:
            raise UserError(f"Task {task.name} has {self.spec.n_agents} agents, its configuration says {task.agents}.")
        self._noise = np.random.Generator(np.random.PCG64(stream_seed(config.seed, "exploration")))
        self._observation, self._state = self.environment.reset()
        self._pending: dict[str, list[np.ndarray]] = {name: [] for name in FIELDS}
        self._returns: list[float] = []
        self._continues = False  # what is collected next continues an episode of which a part was stored

    def collect(self, sampling: Sampling, env_steps: int, store: Callable[[Episode, bool], None]) -> tuple[int, dict[str, float]]:
        """Step until an epoch's worth of new steps is stored (dima.md 6.2). Returns how many, and what is worth a line in the log.

        Args:
            sampling: the policy that is being trained.
            env_steps: taken so far.
            store: is given each episode, or part of one, and whether it continues the one given before.
        """
        schedule, new_steps = self._schedule, 0
        while True:
            warming = env_steps + new_steps < schedule.warmup_steps
            ended = self.step(None if warming and schedule.warmup_policy == "random" else sampling)
            new_steps += 1
            total = env_steps + new_steps
            enough = new_steps >= schedule.min_new_steps and total >= schedule.warmup_steps or total >= self._budget
            stop = enough and (ended or schedule.epoch_trigger == "fixed_steps")
            if ended or stop:
                store(self.take(), self._continues)
                self._continues = not ended
            if stop:
                returns, self._returns = self._returns, []
                return new_steps, {"episodes": len(returns), **({"episode_return": float(np.mean(returns))} if returns else {})}

    @property
    def at_start(self) -> bool:
        """Whether the next step is the first of an episode: what a policy remembers ends there."""
        return not self._continues and not self._pending["reward"]

    def step(self, sampling: Sampling | None) -> bool:
        """One environment step with a sampled action (uniform in [-1, 1] without a policy); whether the episode ended with it."""
        observation, state = self._observation, self._state
        action = self._sample(sampling, observation)
        result = self.environment.step(action)
        self._observation, self._state = result.obs, result.state
        row = (state, observation, action, result.reward, result.terminated, result.truncated, result.info["final_state"])
        for name, values in zip(("state", "observation", "action", "reward", "terminated", "truncated", "next_state"), row, strict=True):
            self._pending[name].append(values[0])
        ended = bool(result.terminated[0] or result.truncated[0])
        if ended:
            self._returns.append(float(result.info["episode_return"][0]))
        return ended

    def take(self) -> Episode:
        """The steps since the last call, as (a part of) an episode."""
        arrays = {name: torch.from_numpy(np.stack(rows)) for name, rows in self._pending.items()}
        self._pending = {name: [] for name in FIELDS}
        return Episode(**arrays)

    def _sample(
        self, sampling: Sampling | None, observation: Float[np.ndarray, "1 agents observation"]
    ) -> Float[np.ndarray, "1 agents action"]:
        shape = (1, self.spec.n_agents, self.spec.act_dim)
        if sampling is None:
            return self._noise.uniform(-1.0, 1.0, shape).astype(np.float32)
        return sampling(observation, self._noise.standard_normal(shape, dtype=np.float32))

    def state_dict(self) -> dict[str, Any]:
        """Environment and exploration noise, once all steps and returns have been taken."""
        return {
            "environment": saved_simulation(self.environment),
            "noise": self._noise.bit_generator.state,
            "observation": self._observation,
            "state": self._state,
            "continues": self._continues,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state` bit for bit; with a new episode where the simulator could not be saved."""
        self._noise.bit_generator.state = state["noise"]
        if state["environment"] is None:
            self._observation, self._state = self.environment.reset()
            self._continues = False
        else:
            self.environment.set_sim_state(state["environment"])
            self._observation, self._state = state["observation"], state["state"]
            self._continues = bool(state["continues"])


def saved_simulation(environment: envs.BatchedEnvironment) -> envs.SimState | None:
    """What the simulator needs to go on bit for bit; None where it cannot be saved, as Isaac Gym: a resumed run starts an episode."""
    try:
        return environment.get_sim_state()
    except envs.UnsupportedSimStateError:
        return None
