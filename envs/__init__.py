"""Multi-agent environments stepped many worlds at a time; importing this package loads no simulator."""

from __future__ import annotations

from envs.interface import (
    Acting,
    BatchedEnvironment,
    CrowdedError,
    EngineError,
    EnvironmentsError,
    EnvSpec,
    InvalidArgumentError,
    MissingExtraError,
    MissingGraphicsError,
    NonFiniteError,
    Played,
    SimState,
    SimStateMismatchError,
    StepResult,
    UnknownEngineError,
    UnknownPresetError,
    UnknownTaskError,
    UnsupportedSimStateError,
    UntoldStateError,
)
from envs.registry import TASKS, Engine, Registration, make

__all__ = [
    "TASKS",
    "Acting",
    "BatchedEnvironment",
    "CrowdedError",
    "Engine",
    "EngineError",
    "EnvSpec",
    "EnvironmentsError",
    "InvalidArgumentError",
    "MissingExtraError",
    "MissingGraphicsError",
    "NonFiniteError",
    "Played",
    "Registration",
    "SimState",
    "SimStateMismatchError",
    "StepResult",
    "UnknownEngineError",
    "UnknownPresetError",
    "UnknownTaskError",
    "UnsupportedSimStateError",
    "UntoldStateError",
    "make",
]
