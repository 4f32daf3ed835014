"""Steps of one real environment with the current policy, stored as parts of episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

import envs
from dima.config import CellConfig, CollectionConfig
from dima.errors import UserError
from dima.experience.random import stream_seed
from dima.experience.transitions import Episode

Sampling = Callable[
    [Float[np.ndarray, "1 agents observation"], Float[np.ndarray, "1 agents action"]],
    Float[np.ndarray, "1 agents action"],
]
"""Actions that a policy draws, from observations and standard normal noise."""


class Collector:
    """The training environment and the episode in progress.

    Args:
        config: of the cell: task, preset and seed.
        schedule: when an epoch has collected enough.

    Attributes:
        at_start: whether the next step is the first of an episode, when a policy must forget the last one.

    Raises:
        UserError: the task has another number of agents than its configuration says.
    """

    def __init__(self, config: CellConfig, schedule: CollectionConfig) -> None:
        task = config.task
        self._schedule = schedule
        self._budget = task.env_steps
        self.environment = envs.make(
            task.name,
            num_envs=1,
            seed=stream_seed(config.seed, "environment"),
            preset=task.preset,
            engine=task.simulator,
        )
        self.spec = self.environment.spec
        if self.spec.n_agents != task.agents:
            raise UserError(
                f"Task {task.name} has {self.spec.n_agents} agents, its configuration says {task.agents}."
            )
        self._noise = np.random.Generator(np.random.PCG64(stream_seed(config.seed, "exploration")))
        self._observation, self._state = self.environment.reset()
        self._pending: list[envs.Played] = []
        self._returns: list[float] = []
        self._continues = False  # what is collected next continues an episode of which a part was stored
        self.at_start = True

    def collect(
        self, sampling: Sampling, env_steps: int, store: Callable[[Episode, bool], None]
    ) -> tuple[int, dict[str, float]]:
        """Step until an epoch's worth of new steps is stored (docs/method.md#epochs).

        Args:
            sampling: the policy that is being trained.
            env_steps: taken so far.
            store: called with each episode or part of one, and whether it continues the previous one.

        Returns:
            the number of new steps, and scalars to log.
        """
        new_steps = 0
        while True:
            left = self._steps_left(new_steps, env_steps + new_steps)
            warming = (
                self._schedule.warmup_policy == "random"
                and env_steps + new_steps < self._schedule.warmup_steps
            )
            if warming:
                left = min(left, self._schedule.warmup_steps - env_steps - new_steps)
            ended = self.play(None if warming else sampling, left)
            new_steps += len(self._pending[-1].reward)
            stop = self._enough(new_steps, env_steps + new_steps) and (
                ended or self._schedule.epoch_trigger == "fixed_steps"
            )
            if ended or stop:
                store(self.take(), self._continues)
                self._continues = not ended
            if stop:
                returns, self._returns = self._returns, []
                return new_steps, {
                    "episodes": len(returns),
                    **({"episode_return": float(np.mean(returns))} if returns else {}),
                }

    def _enough(self, new_steps: int, total: int) -> bool:
        """Whether an epoch may end here."""
        schedule = self._schedule
        return new_steps >= schedule.min_new_steps and total >= schedule.warmup_steps or total >= self._budget

    def _steps_left(self, new_steps: int, total: int) -> int:
        """The number of steps to the next decision, unless the episode ends before."""
        schedule = self._schedule
        if schedule.epoch_trigger != "fixed_steps":
            return self.spec.episode_limit
        enough = max(schedule.min_new_steps - new_steps, schedule.warmup_steps - total)
        return max(1, min(enough, self._budget - total, self.spec.episode_limit))

    def play(self, sampling: Sampling | None, steps: int) -> bool:
        """Take up to `steps` steps (uniform actions without a policy); returns whether the episode ended."""
        before = self._noise.bit_generator.state
        noise = self._drawn(steps, uniform=sampling is None)

        def act(
            observation: Float[np.ndarray, "1 agents observation"], step: int
        ) -> Float[np.ndarray, "1 agents action"]:
            action = noise[step] if sampling is None else sampling(observation, noise[step])
            self.at_start = False
            return action

        played = self.environment.play(act, steps, self._observation, self._state)
        taken = len(played.reward)
        if taken < steps:  # the noise of steps that were not taken is that of the next ones
            self._noise.bit_generator.state = before
            self._drawn(taken, uniform=sampling is None)
        self._pending.append(played)
        self._observation, self._state = played.next_obs, played.next_state
        self.at_start = played.terminated or played.truncated
        if self.at_start:
            self._returns.append(played.episode_return)
        return self.at_start

    def _drawn(self, steps: int, *, uniform: bool) -> Float[np.ndarray, "steps 1 agents action"]:
        """Uniform or standard normal numbers, bit for bit as if drawn step by step."""
        shape = (steps, 1, self.spec.n_agents, self.spec.act_dim)
        return (
            self._noise.uniform(-1.0, 1.0, shape).astype(np.float32)
            if uniform
            else self._noise.standard_normal(shape, dtype=np.float32)
        )

    def take(self) -> Episode:
        """The steps since the last call, as (a part of) an episode."""
        parts, self._pending = self._pending, []
        arrays = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("observation", "action", "reward")
        }
        arrays["state"] = np.concatenate([part.state[:-1] for part in parts])
        arrays["next_state"] = np.concatenate([part.state[1:] for part in parts])
        for name in ("terminated", "truncated"):
            arrays[name] = np.zeros(len(arrays["reward"]), dtype=np.bool_)
            arrays[name][-1] = getattr(parts[-1], name)
        return Episode(**{name: torch.from_numpy(values) for name, values in arrays.items()})

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
        self.at_start = not self._continues


def saved_simulation(environment: envs.BatchedEnvironment) -> envs.SimState | None:
    """The simulator's state; None where it cannot be saved (Isaac Gym): a resumed run starts an episode."""
    try:
        return environment.get_sim_state()
    except envs.UnsupportedSimStateError:
        return None
