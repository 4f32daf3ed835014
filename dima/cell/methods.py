"""From the configuration of a cell to the learner that computes it."""

from __future__ import annotations

import torch

from dima.config import CellConfig
from dima.config.registry import LEARNERS, load
from dima.learning.learner import Learner


def build_learner(config: CellConfig, device: torch.device) -> Learner:
    """The learner of a cell, at its start.

    Raises:
        UserError: an extra that the method needs is not installed, or its parameters contradict the task.
        envs.EnvironmentsError: the same for the environment.
    """
    return load(LEARNERS[type(config.parameters)])(config, device)
