"""Checks of arguments and saved simulations, shared by the environments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from envs.interface import (
    EnvSpec,
    InvalidArgumentError,
    NonFiniteError,
    SimState,
    SimStateMismatchError,
    StepResult,
)


def require_worlds(num_envs: int) -> None:
    """Raises InvalidArgumentError unless it is a whole number of at least 1."""
    if not _is_whole(num_envs) or num_envs < 1:
        raise InvalidArgumentError(f"num_envs is {num_envs!r}, it must be a whole number of at least 1")


def require_seed(seed: int) -> None:
    """Raises InvalidArgumentError unless it is a whole number of at least 0."""
    if not _is_whole(seed) or seed < 0:
        raise InvalidArgumentError(f"the seed is {seed!r}, it must be a whole number that is not negative")


def require_single_world(num_envs: int) -> None:
    """Raises InvalidArgumentError: `play` steps one world only."""
    if num_envs != 1:
        raise InvalidArgumentError(f"play steps a single world, this environment has {num_envs}")


def require_world(world: int, num_envs: int) -> None:
    """Raises InvalidArgumentError unless there is such a world."""
    if not 0 <= world < num_envs:
        raise InvalidArgumentError(
            f"there is no world {world}: this environment has {num_envs}, counted from 0"
        )


def require_size(height: int, width: int) -> None:
    """Raises InvalidArgumentError for a picture without pixels."""
    if height < 1 or width < 1:
        raise InvalidArgumentError(f"a picture of {width} x {height} pixels cannot be drawn")


def require_states(states: Float[np.ndarray, "time state"], spec: EnvSpec) -> None:
    """Raises InvalidArgumentError for states of another shape, or not finite."""
    if states.ndim != 2 or states.shape[1] != spec.state_dim:
        drawn = f"{spec.task} draws (time, state) = (any, {spec.state_dim})"
        raise InvalidArgumentError(f"the states have shape {states.shape}, {drawn}")
    broken = np.flatnonzero(~np.isfinite(states).all(axis=1))
    if broken.size:
        raise InvalidArgumentError(f"state {broken[0]} of the {len(states)} to draw is not finite")


def require_actions(shape: Sequence[int], spec: EnvSpec, num_envs: int) -> None:
    """Raises InvalidArgumentError unless actions of this shape fit the task."""
    expected = (num_envs, spec.n_agents, spec.act_dim)
    if tuple(shape) != expected:
        takes = f"{spec.task} takes (worlds, agents, action) = {expected}"
        raise InvalidArgumentError(f"the actions have shape {tuple(shape)}, {takes}")


def identity(spec: EnvSpec, num_envs: int) -> SimState:
    """What a saved simulation must have in common with the environment that continues it."""
    return {"task": spec.task, "preset": spec.preset, "lineage": spec.lineage, "num_envs": num_envs}


def require_same(own: SimState, saved: SimState) -> None:
    """Raises SimStateMismatchError unless `saved` has all entries of `own`."""
    for name, value in own.items():
        if saved.get(name) != value:
            raise SimStateMismatchError(
                f"the saved simulation has {name} {saved.get(name)!r}, this environment has {value!r}"
            )


def non_finite(
    spec: EnvSpec, what: str, worlds: Sequence[int], step: int, result: StepResult | None = None
) -> NonFiniteError:
    """The error for `what` of the first of `worlds`, at `step` of its episode."""
    others = f" (nor are those of worlds {', '.join(map(str, worlds[1:]))})" if len(worlds) > 1 else ""
    place = f"{what} of world {worlds[0]} is not finite at step {step} of its episode"
    return NonFiniteError(f"{spec.task}: {place}{others}", worlds, step, result)


def _is_whole(number: object) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)
