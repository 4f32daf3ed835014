"""This project's worlds in the shape that HARL's training loop expects of a vectorised environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from envs import BatchedEnvironment, StepResult

Infos = list[list[dict[str, Any]]]
"""For each world, for each agent, what HARL reads besides the transition."""


@dataclass(frozen=True)
class Box:
    """A continuous space as HARL reads one: by the name of this class, its shape and its bounds."""

    shape: tuple[int, ...]

    @property
    def high(self) -> Float[np.ndarray, " size"]:
        """The largest action: HASAC scales its own to it."""
        return np.ones(self.shape, dtype=np.float32)


class HarlStep(NamedTuple):
    """A step as HARL unpacks it; `available_actions`, for discrete actions, is None for every world."""

    obs: Float[np.ndarray, "batch agents observation"]
    share_obs: Float[np.ndarray, "batch agents state"]
    rewards: Float[np.ndarray, "batch agents 1"]
    dones: Bool[np.ndarray, "batch agents"]
    infos: Infos
    available_actions: list[None]


class HarlWorlds:
    """A batched environment for HARL. Every agent gets the same global state, reward and end of episode.

    On MAMuJoCo the global state that HARL's critic sees is z(s) = (s - mean(s)) / std(s) over the features of
    that one vector, as in HARL's own wrapper; elsewhere it is the environment's state. Actions are not
    clipped.
    """

    def __init__(self, environment: BatchedEnvironment) -> None:
        spec = environment.spec
        self.environment = environment
        self.n_agents = spec.n_agents
        self.observation_space = [Box((spec.obs_dim,))] * spec.n_agents
        self.share_observation_space = [Box((spec.state_dim,))] * spec.n_agents
        self.action_space = [Box((spec.act_dim,))] * spec.n_agents

    def reset(
        self,
    ) -> tuple[
        Float[np.ndarray, "batch agents observation"], Float[np.ndarray, "batch agents state"], list[None]
    ]:
        """Begin an episode in every world: (obs, share_obs, available_actions)."""
        obs, state = self.environment.reset()
        return obs, self._shared(state), [None] * self.environment.num_envs

    def step(self, actions: Float[np.ndarray, "batch agents action"]) -> HarlStep:
        """One step of every world; worlds whose episode ended are already in their next one, as in HARL."""
        result = self.environment.step(actions)
        ended = result.terminated | result.truncated
        return HarlStep(
            obs=result.obs,
            share_obs=self._shared(result.state),
            rewards=np.repeat(result.reward[:, None, None], self.n_agents, axis=1),
            dones=np.repeat(ended[:, None], self.n_agents, axis=1),
            infos=self._infos(result),
            available_actions=[None] * self.environment.num_envs,
        )

    def _shared(self, state: Float[np.ndarray, "batch state"]) -> Float[np.ndarray, "batch agents state"]:
        if (self.environment.spec.suite, self.environment.spec.preset) == ("mamujoco", "paper"):
            state = feature_zscore(state)
        return np.repeat(state[:, None], self.n_agents, axis=1)

    def _infos(self, result: StepResult) -> Infos:
        """Where an episode ended: its return, its last observation, and `bad_transition` for a time limit."""
        infos: Infos = []
        for world in range(self.environment.num_envs):
            info: dict[str, Any] = {}
            if result.terminated[world] or result.truncated[world]:
                info["bad_transition"] = bool(result.truncated[world] and not result.terminated[world])
                info["episode_return"] = float(result.info["episode_return"][world])
                info["original_obs"] = result.info["final_obs"][world]
                info["original_state"] = self._shared(result.info["final_state"][world : world + 1])[0]
            infos.append([info] * self.n_agents)
        return infos


def feature_zscore(state: Float[np.ndarray, "batch state"]) -> Float[np.ndarray, "batch state"]:
    """z(s) = (s - mean(s)) / std(s) over the features of each vector, with the population deviation."""
    precise = state.astype(np.float64)
    scaled = (precise - precise.mean(axis=1, keepdims=True)) / precise.std(axis=1, keepdims=True)
    return scaled.astype(np.float32)
