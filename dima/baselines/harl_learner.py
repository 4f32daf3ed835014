"""What HARL's methods have in common here: worlds, random streams of their own, and faults by their name."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

import envs
from dima.baselines.global_streams import GlobalStreams
from dima.baselines.harl_environment import HarlWorlds
from dima.config import CellConfig
from dima.errors import DivergedError, UserError
from dima.experience.evaluate import Policy
from dima.learning.learner import Scalars

Moments = dict[str, dict[str, torch.Tensor]]
"""Adam's running moments and step counts, by the number of the parameter."""


class HarlLearner(ABC):
    """One of HARL's methods in training.

    HARL draws from the global generators, which it finds in place only while it is at work.

    The cell's seed seeds Python, numpy and torch as in HARL, and the training worlds: world j has seed * 1000
    + j.

    Args:
        config: of the cell.
        worlds: how many are stepped side by side.
        device: where the networks are.
    """

    def __init__(self, config: CellConfig, worlds: int, device: torch.device) -> None:
        self.env_steps = 0
        self.epoch = 0
        self._name = config.parameters.algorithm.upper()
        task = config.task
        self.worlds = HarlWorlds(envs.make(task.name, worlds, config.seed, task.preset, task.simulator))
        self.lineage = self.worlds.environment.spec.lineage
        self._device = device
        self._streams = GlobalStreams(config.seed, device)

    def run_epoch(self) -> Scalars:
        """Collect and learn once. Logs the mean reward, the returns of episodes that ended, and HARL's own
        numbers.

        Raises:
            DivergedError: a loss, a gradient, a network output or the simulation is not finite.
        """
        place = f"{self._name} diverged in epoch {self.epoch + 1}"
        with self._streams:
            try:
                steps, scalars = self._update()
            except envs.NonFiniteError as error:
                raise DivergedError(f"{place}: {error}.") from error
            except ValueError as error:
                if all(
                    bool(torch.isfinite(weight).all())
                    for network in self._networks()
                    for weight in network.parameters()
                ):
                    raise
                # torch refuses a Gaussian whose mean is not a number
                raise DivergedError(f"{place}: a network weight is not finite.") from error
        for group, values in scalars.items():
            for name, value in values.items():
                if not math.isfinite(value):
                    raise DivergedError(f"{place}: {group} {name} is {value}.")
        self.epoch += 1
        self.env_steps += steps
        return scalars

    @abstractmethod
    def _update(self) -> tuple[int, Scalars]:
        """Environment steps taken in one round of collecting and learning, and what is worth a line in the
        log.
        """

    @abstractmethod
    def _networks(self) -> Iterable[nn.Module]:
        """Those that learn."""

    @abstractmethod
    def act(
        self, observations: Float[np.ndarray, "batch agents observation"]
    ) -> Float[np.ndarray, "batch agents action"]:
        """The deterministic action of each agent."""

    def frozen_policy(self) -> Policy:
        """`act` itself: it is evaluated in turn with training."""
        return self.act

    def close(self) -> None:
        """Release the environment."""
        self.worlds.environment.close()


def load_harl(method: str) -> ModuleType:
    """The classes that drive HARL. Raises UserError where it is not installed."""
    try:
        import_module("harl")
    except ModuleNotFoundError as error:
        raise UserError(
            f"Method {method} runs the real HARL, which is not installed: pip install -e '.[harl]'."
        ) from error
    return import_module("dima.baselines.harl_in_process")


def returns_of(infos: list[list[dict[str, object]]]) -> list[float]:
    """Returns of the episodes that ended with a step."""
    return [float(info[0]["episode_return"]) for info in infos if "episode_return" in info[0]]  # type: ignore[arg-type]


def moments_of(optimizer: torch.optim.Optimizer) -> Moments:
    """What an Adam remembers."""
    return {str(number): moments for number, moments in optimizer.state_dict()["state"].items()}


def load_moments(optimizer: torch.optim.Optimizer, moments: Moments) -> None:
    """Take over what `moments_of` returned."""
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict(
        {"state": {int(number): values for number, values in moments.items()}, "param_groups": groups}
    )
