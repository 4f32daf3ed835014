"""Multi-agent environments stepped many worlds at a time; importing this package loads no simulator."""

from __future__ import annotations

from envs.interface import (
    BatchedEnvironment,
    EnvironmentsError,
    EnvSpec,
    InvalidArgumentError,
    MissingExtraError,
    NonFiniteError,
    SimState,
    SimStateMismatchError,
    StepResult,
    UnknownPresetError,
    UnknownTaskError,
)
from envs.registry import TASKS, Registration, make

__all__ = [
    "TASKS",
    "BatchedEnvironment",
    "EnvSpec",
    "EnvironmentsError",
    "InvalidArgumentError",
    "MissingExtraError",
    "NonFiniteError",
    "Registration",
    "SimState",
    "SimStateMismatchError",
    "StepResult",
    "UnknownPresetError",
    "UnknownTaskError",
    "make",
]
