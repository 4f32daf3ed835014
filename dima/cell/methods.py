"""From the configuration of a cell to the learner that computes it."""

from __future__ import annotations

import torch

import envs
from dima.config import CellConfig
from dima.config.registry import LEARNERS, load
from dima.errors import UserError
from dima.learning.learner import Learner


def build_learner(config: CellConfig, device: torch.device) -> Learner:
    """The learner of a cell, at its start.

    Raises:
        UserError: an extra that the method needs is not installed, or its parameters contradict the task.
        envs.EnvironmentsError: the same for the environment.
    """
    task, registered = config.task, envs.TASKS.get(config.task.name)
    if registered and registered.suite != task.suite:
        raise UserError(
            f"Task {task.name} is of suite {registered.suite}, its configuration says {task.suite}."
        )
    return load(LEARNERS[type(config.parameters)])(config, device)
