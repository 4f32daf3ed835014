"""DexterousHands in Isaac Gym, built and stepped the way its own training scripts do; runs on Python 3.8.

Not run against Isaac Gym by us. Two layouts are known: the original's (`bidexhands`, with `load_cfg`) and
HARL's copy (with `load_env_cfg`). The calls are theirs; what differs from their defaults is set in `_force`
and nowhere else.
"""

from __future__ import annotations

import os
import random
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

PACKAGES = ("bidexhands", "harl.envs.dexhands.DexterousHands.bidexhands")
N_AGENTS = 2
WHOLE_HANDS = [[[0, 1, 2, 3, 4, 5]], [[0, 1, 2, 3, 4, 5]]]  # the right hand is agent 0, the left one agent 1
DETERMINISTIC_RESET = (
    "resetPositionNoise",
    "resetRotationNoise",
    "resetDofPosRandomInterval",
    "resetDofVelRandomInterval",
)


class RefusedError(RuntimeError):
    """The installation lacks what the bridge was written for; the message is one sentence."""


class Simulation:
    """All worlds of one task. A process can hold one, since Isaac Gym allows no second.

    Args:
        task: the original's name, such as ShadowHandPen.
        num_envs: number of worlds.
        seed: of every generator that the task's code draws from.
        obs_dim: numbers an agent has to observe.
        state_dim: numbers the shared state has to hold.
        act_dim: numbers an agent's action has to take.
        episode_limit: steps after which an episode is cut off.

    Raises:
        RefusedError: something is missing, or its spaces are not these.
    """

    def __init__(
        self,
        task: str,
        num_envs: int,
        seed: int,
        obs_dim: int,
        state_dim: int,
        act_dim: int,
        episode_limit: int,
    ) -> None:
        # before torch: Isaac Gym refuses to be imported after it
        isaacgym = _find("isaacgym", "NVIDIA's tarball (Isaac Gym Preview 4)")
        self.torch = _find("torch", "PyTorch, 2.4.1 at most")
        config, parse_task = _find_dexterous_hands()
        _seed_everything(self.torch, seed)
        self.environment = _build(config, parse_task, task, num_envs, seed, episode_limit)
        self.task = self.environment.task
        self._shape = (num_envs, N_AGENTS, act_dim)
        self._require(obs_dim, state_dim, act_dim, episode_limit)
        self.facts = {
            "isaacgym": _version_of(isaacgym),
            "torch": str(self.torch.__version__),
            "numpy": np.__version__,
            "python": ".".join(str(part) for part in sys.version_info[:3]),
            "device": str(self.task.device),
        }

    def first_observations(self) -> dict[str, np.ndarray]:
        """`obs` [B, 2, o] and `state` [B, s] one control step after a reset, under actions of 0.

        The reset is deterministic, and visible only after a step.
        """
        every = np.ones(self._shape[0], dtype=np.bool_)
        seen = self.step(np.zeros(self._shape, dtype=np.float32), every)
        if seen["done"].any():
            raise RefusedError(
                f"world {int(np.flatnonzero(seen['done'])[0])} ends at the first step after its reset"
            )
        return {name: seen[name] for name in ("obs", "state")}

    def step(self, actions: np.ndarray, begins: np.ndarray) -> dict[str, np.ndarray]:
        """One control step with actions [B, 2, a]; worlds that begin, or were done, are reset first.

        Returns `obs` and `state` as they are before any next reset, `reward`, `done`, `progress` (steps of
        the episode, this one included) and `success` (so far in the episode), all by world.
        """
        self.task.reset_buf[self._tensor(np.flatnonzero(begins))] = 1
        by_agent = np.ascontiguousarray(actions.transpose(1, 0, 2), dtype=np.float32)
        obs, state, reward, done, _, _ = self.environment.step(
            self.torch.as_tensor(by_agent, device=self.environment.rl_device)
        )
        return {
            "obs": _to_numpy(obs, np.float32),
            "state": _to_numpy(state, np.float32)[:, 0],
            "reward": _to_numpy(reward, np.float32)[:, 0, 0],
            "done": _to_numpy(done, np.int64)[:, 0] != 0,
            "progress": _to_numpy(self.task.progress_buf, np.int64),
            "success": _to_numpy(self.task.successes, np.float32) > 0,
        }

    def _tensor(self, values: np.ndarray) -> Any:
        return self.torch.as_tensor(values, device=self.task.device)

    def _require(self, obs_dim: int, state_dim: int, act_dim: int, episode_limit: int) -> None:
        found, env = {}, self.environment
        found["worlds"] = (env.num_envs, self._shape[0])
        found["agents"] = (env.num_agents, N_AGENTS)
        found["steps of an episode"] = (int(self.task.max_episode_length), episode_limit)
        spaces = {
            "observation": (env.observation_space, obs_dim),
            "state": (env.share_observation_space, state_dim),
        }
        spaces["action"] = (env.action_space, act_dim)
        for name, (by_agent, size) in spaces.items():
            found[f"the shapes of the {name} spaces"] = (
                [tuple(space.shape) for space in by_agent],
                [(size,)] * N_AGENTS,
            )
        for name, (is_now, has_to_be) in found.items():
            if is_now != has_to_be:
                raise RefusedError(
                    f"{type(self.task).__name__} has {name} {is_now}, the bridge was written for {has_to_be}"
                )


def _find(name: str, what: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise RefusedError(f"this Python cannot import {name}, which comes with {what}: {error}") from error


def _find_dexterous_hands() -> tuple[ModuleType, ModuleType]:
    """Configuration and task modules of the first installed layout; its folder becomes the working folder."""
    for package in PACKAGES:
        try:
            config = import_module(f"{package}.utils.config")
        except ModuleNotFoundError as error:
            if package.startswith(str(error.name)):
                continue
            raise RefusedError(f"{package} cannot be imported for want of {error.name}") from error
        # The task code finds its assets relative to the folder its training script is started in.
        os.chdir(Path(str(config.__file__)).resolve().parents[len(package.split("."))])
        return config, import_module(f"{package}.utils.parse_task")
    raise RefusedError(
        f"this Python finds neither {' nor '.join(PACKAGES)}: put your DexterousHands checkout on PYTHONPATH"
    )


def _build(
    config: ModuleType, parse_task: ModuleType, task: str, num_envs: int, seed: int, episode_limit: int
) -> Any:
    own_arguments = sys.argv
    try:
        if hasattr(config, "load_env_cfg"):
            sys.argv = own_arguments[:1]
            args = config.get_args(
                {"task": task, "n_threads": num_envs, "hands_episode_length": episode_limit}
            )
            args.headless, args.task_type, args.seed = True, "MultiAgent", seed
            cfg = _force(config.load_env_cfg(args), num_envs, episode_limit)
            return parse_task.parse_task(args, cfg, config.parse_sim_params(args, cfg), WHOLE_HANDS)
        wanted = {
            "task": task,
            "num_envs": num_envs,
            "seed": seed % 2**31,
            "episode_length": episode_limit,
            "algo": "mappo",
        }
        sys.argv = (
            own_arguments[:1] + [f"--{name}={value}" for name, value in wanted.items()] + ["--headless"]
        )
        args = config.get_args()
        args.task_type = "MultiAgent"
        cfg, training, _ = config.load_cfg(args)
        _force(cfg, num_envs, episode_limit)
        return parse_task.parse_task(
            args, cfg, training, config.parse_sim_params(args, cfg, training), WHOLE_HANDS
        )[1]
    finally:
        sys.argv = own_arguments


def _force(cfg: dict[str, Any], num_envs: int, episode_limit: int) -> dict[str, Any]:
    """Settings that override the task's YAML."""
    cfg["headless"] = True
    cfg["task"]["randomize"] = False
    cfg["env"].update(
        observationType="full_state",
        numEnvs=num_envs,
        episodeLength=episode_limit,
        asymmetric_observations=False,
    )
    cfg["env"].update({name: 0.0 for name in DETERMINISTIC_RESET})
    return cfg


def _seed_everything(torch: ModuleType, seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # the task's code draws from the global generators
    torch.manual_seed(seed)


def _version_of(isaacgym: ModuleType) -> str:
    try:
        return version("isaacgym")
    except PackageNotFoundError:
        return str(getattr(isaacgym, "__version__", "unknown"))


def _to_numpy(tensor: Any, dtype: type) -> np.ndarray:
    # a copy: the task keeps writing into its buffers
    return np.array(tensor.detach().cpu().numpy(), dtype=dtype)
