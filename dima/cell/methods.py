"""The methods that exist: from the `algorithm` of a configuration to the learner that runs it."""

from __future__ import annotations

from collections.abc import Callable

import torch

import envs
from dima.config import CellConfig
from dima.errors import UserError
from dima.learning.learner import Learner


def _dima(config: CellConfig, device: torch.device) -> Learner:
    from dima.learning.dima_learner import DimaLearner

    return DimaLearner(config, device)


def _harl_on_policy(config: CellConfig, device: torch.device) -> Learner:
    from dima.baselines.harl_on_policy import HarlOnPolicyLearner

    return HarlOnPolicyLearner(config, device)


def _harl_off_policy(config: CellConfig, device: torch.device) -> Learner:
    from dima.baselines.harl_off_policy import HarlOffPolicyLearner

    return HarlOffPolicyLearner(config, device)


def _mamba(config: CellConfig, device: torch.device) -> Learner:
    from dima.baselines.mamba.learner import MambaLearner

    return MambaLearner(config, device)


def _marie(config: CellConfig, device: torch.device) -> Learner:
    from dima.baselines.marie.learner import MarieLearner

    return MarieLearner(config, device)


LEARNERS: dict[str, Callable[[CellConfig, torch.device], Learner]] = {
    "dima": _dima,
    "mamba": _mamba,
    "marie": _marie,
    "mappo": _harl_on_policy,
    "happo": _harl_on_policy,
    "hasac": _harl_off_policy,
}


def build_learner(config: CellConfig, device: torch.device) -> Learner:
    """The learner of a cell, at its start.

    Raises:
        UserError: an extra that the method needs is not installed, or its parameters contradict the task.
        envs.EnvironmentsError: likewise for the environment.
    """
    task, registered = config.task, envs.TASKS.get(config.task.name)
    if registered and registered.suite != task.suite:
        raise UserError(
            f"Task {task.name} is of suite {registered.suite}, its configuration says {task.suite}."
        )
    return LEARNERS[config.parameters.algorithm](config, device)
