"""HARL alone: its own `run()` on its own vectors of single environments, one update a call.

HARL's wrapper of MAMuJoCo (which needs `gym` and `mujoco-py`) computes the same observation twice and returns
what training never reads; the worlds here do not. All differences are in HARL's favour, also the log in
memory and the missing evaluation.
"""

from __future__ import annotations

import io
import random
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import gymnasium
import numpy as np
import torch
from harl.common.base_logger import BaseLogger
from harl.envs.env_wrappers import ShareDummyVecEnv, ShareSubprocVecEnv, ShareVecEnv

import envs
from benchmarks.environments import ROBOTS
from dima.baselines.harl_environment import Box
from dima.baselines.harl_in_process import InProcessMappo
from dima.baselines.harl_settings import HarlSettings, on_policy_settings
from dima.config import CellConfig, HarlOnPolicyParameters
from envs.interface import EnvSpec
from envs.mamujoco.bodies import V2_BODIES
from envs.mujoco_process import as_python_warnings
from envs.push_mass import next_state, reward

VECTORS: Mapping[str, type[ShareVecEnv]] = {
    "one process": ShareDummyVecEnv,
    "a process a world": ShareSubprocVecEnv,
}
"""HARL takes the second for more than one world."""

Shown = tuple[list[np.ndarray], list[np.ndarray], None]
"""Observations and states by agent, and no available actions, which are for discrete ones."""


class Single:
    """One world as HARL's wrappers show one: lists over the agents, and a reset that the vector asks for.

    Args:
        spec: of the task.
        seed: of this world.
    """

    def __init__(self, spec: EnvSpec, seed: int) -> None:
        self.n_agents = spec.n_agents
        self.observation_space = [Box((spec.obs_dim,))] * spec.n_agents
        self.share_observation_space = [Box((spec.state_dim,))] * spec.n_agents
        self.action_space = [Box((spec.act_dim,))] * spec.n_agents
        self._seed: int | None = seed

    def reset(self) -> Shown:
        """Begin an episode; the first one is seeded."""
        seed, self._seed = self._seed, None
        return self._show(self._begin(seed))

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        """From actions [agents, action] to every agent's observation, state, reward, end, info, actions."""
        state, gain, terminated, truncated = self._advance(actions)
        done = terminated or truncated
        info = {"bad_transition": truncated and not terminated} if done else {}
        obs, share_obs, available = self._show(state)
        agents = range(self.n_agents)
        return (
            obs,
            share_obs,
            [[gain] for _ in agents],
            [done for _ in agents],
            [info for _ in agents],
            available,
        )

    @abstractmethod
    def _begin(self, seed: int | None) -> np.ndarray:
        """The state that an episode starts in."""

    @abstractmethod
    def _advance(self, actions: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        """State, reward, whether the task ended the episode and whether time did."""

    @abstractmethod
    def _show(self, state: np.ndarray) -> Shown:
        """What agents and critic see."""

    def close(self) -> None:
        """Nothing is held."""


class SinglePushMass(Single):
    """The toy by its formulas, without the bookkeeping of a batch."""

    def __init__(self, spec: EnvSpec, seed: int) -> None:
        super().__init__(spec, seed)
        self._limit = spec.episode_limit
        self._random = np.random.default_rng(seed)
        self._state = np.zeros((1, spec.state_dim), dtype=np.float32)
        self._steps = 0

    def _begin(self, seed: int | None) -> np.ndarray:
        self._steps = 0
        self._state = np.zeros_like(self._state)
        self._state[0, [0, 1, 4, 5]] = self._random.uniform(-1, 1, size=4)
        return self._state[0]

    def _advance(self, actions: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        self._steps += 1
        self._state = next_state(self._state, actions[None]).astype(np.float32)
        gain = reward(self._state, actions[None]).astype(np.float32)[0]
        return self._state[0], gain, False, self._steps >= self._limit

    def _show(self, state: np.ndarray) -> Shown:
        own_axis, ids = state.reshape(3, 2), np.eye(2, dtype=np.float32)
        return [np.concatenate([own_axis[:, agent], ids[agent]]) for agent in range(2)], [state] * 2, None


class SingleRobot(Single):
    """Gymnasium's robot; id and scaling are added agent by agent, as in HARL's wrapper of MAMuJoCo."""

    def __init__(self, spec: EnvSpec, seed: int) -> None:
        super().__init__(spec, seed)
        name = spec.task.split("-")[0]
        robot, arguments, zeros = ROBOTS[name]
        with as_python_warnings(dropped="settotalmass"):
            self._env = gymnasium.make(robot, disable_env_checker=True, **arguments)
        self._zeros = np.zeros(zeros)
        self._ids = np.eye(spec.n_agents)
        self._dying_bonus = V2_BODIES[name].dying_bonus  # of the older rules; gymnasium pays none today

    def _begin(self, seed: int | None) -> np.ndarray:
        return np.concatenate([self._env.reset(seed=seed)[0], self._zeros])

    def _advance(self, actions: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        state, gain, terminated, truncated, _ = self._env.step(np.concatenate(actions))
        gain = float(gain) + (self._dying_bonus if terminated else 0.0)
        return np.concatenate([state, self._zeros]), gain, terminated, truncated

    def _show(self, state: np.ndarray) -> Shown:
        obs = [_scaled(np.concatenate([state, number])) for number in self._ids]
        return obs, [_scaled(state)] * self.n_agents, None

    def close(self) -> None:
        self._env.close()


def _scaled(features: np.ndarray) -> np.ndarray:
    return (features - np.mean(features)) / np.std(features)


KINDS: Mapping[str, type[Single]] = {"toy": SinglePushMass, "mamujoco": SingleRobot}
"""By the suite of a task."""


class LogInMemory(BaseLogger):
    """HARL's log of returns, without its file."""

    def __init__(self, settings: HarlSettings) -> None:
        self.algo_args = settings


class HarlAlone(InProcessMappo):
    """HARL's MAPPO with all that its `run()` reads; seeds the global generators as HARL does.

    Its learning rate never decays, since HARL counts updates by calls of `run()`.

    Args:
        config: a cell with `HarlOnPolicyParameters`; worlds get its seeds.
        vector: a key of `VECTORS`.

    Attributes:
        workers: the worlds' processes.
    """

    def __init__(self, config: CellConfig, vector: str) -> None:
        if not isinstance(config.parameters, HarlOnPolicyParameters):
            raise TypeError(f"HARL cannot read {type(config.parameters).__name__}")
        spec = envs.make(config.task.name).spec
        kind = KINDS[spec.suite]
        seeds = [config.seed * 1000 + world for world in range(config.parameters.rollout_threads)]
        worlds = VECTORS[vector]([lambda seed=seed: kind(spec, seed) for seed in seeds])
        self.workers = [process.pid for process in getattr(worlds, "ps", ())]
        settings = on_policy_settings(config.parameters)
        one_update = settings["train"]["episode_length"] * settings["train"]["n_rollout_threads"]
        never = {"log_interval": 2, "eval_interval": 2}  # after the only update
        settings["train"] |= {"num_env_steps": one_update} | never
        settings |= {"render": {"use_render": False}, "eval": {"use_eval": False}}
        random.seed(config.seed)
        np.random.seed(config.seed)
        torch.manual_seed(config.seed)
        super().__init__(settings, worlds, torch.device("cpu"))
        self.logger = LogInMemory(settings)
        self._warm = False

    def warmup(self) -> None:
        """Start the worlds once: every later `run()` continues where the last one ended."""
        if not self._warm:
            super().warmup()
        self._warm = True

    def update(self) -> None:
        """One round of HARL's `run()`, without its greeting."""
        with redirect_stdout(io.StringIO()):
            self.run()

    def close(self) -> None:
        """Release the worlds and their processes."""
        self.envs.close()
