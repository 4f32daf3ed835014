"""What every method is to the cell that runs it, native or driven from a library."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from dima.experience.collect import Sampling
from dima.experience.evaluate import Policy

Scalars = dict[str, dict[str, float]]
"""Logged numbers by group and name, for example `{"denoiser": {"loss": 0.1}}`."""


@runtime_checkable
class Learner(Protocol):
    """A method in training on one task. It owns its environment, its networks and its random streams.

    Attributes:
        env_steps: environment steps taken in training so far.
        epoch: finished rounds of collecting and learning.
        lineage: of the environment: physics engine and versions.
    """

    env_steps: int
    epoch: int
    lineage: str

    def run_epoch(self) -> Scalars:
        """Collect and learn once, and return what is worth a line in the log.

        Raises:
            DivergedError: a loss or a return is not finite.
        """
        ...

    def act(
        self, observations: Float[np.ndarray, "batch agents observation"]
    ) -> Float[np.ndarray, "batch agents action"]:
        """The deterministic action for each agent at an episode's start.

        Leaves everything that training reads untouched.

        A method whose policy remembers goes on from there by `frozen_policy` alone.
        """
        ...

    def frozen_policy(self) -> Policy:
        """The deterministic policy as it is now, for episodes that begin together at its first call.

        Native methods give a picklable copy that training does not change.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that training continues from, random streams included.

        Nested dicts and lists of tensors, arrays and plain values.
        """
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state` bit for bit (on one device and thread count)."""
        ...

    def load_policy(self, state: dict[str, Any]) -> None:
        """From `state` only what acting needs, whatever device it was trained on."""
        ...

    def close(self) -> None:
        """Release the environment."""
        ...


class Past(NamedTuple):
    """A real episode up to where imagination begins, in raw units."""

    state: Float[np.ndarray, "states state"]
    observation: Float[np.ndarray, "states agents observation"]
    action: Float[np.ndarray, "states-1 agents action"]


class Imagined(NamedTuple):
    """Predictions in raw units after each step that a world model reaches; None where it has no states."""

    observation: Float[np.ndarray, "reached agents observation"]
    state: Float[np.ndarray, "reached state"] | None = None


@runtime_checkable
class Imagining(Learner, Protocol):
    """A learner with a world model.

    Attributes:
        past: the fewest states of an episode that its world model can start from.
    """

    past: int

    def exploring_policy(self, seed: int) -> Sampling:
        """The policy that collects, as a copy on the CPU for one episode; latent states follow `seed`."""
        ...

    def imagine_along(
        self, past: Past, actions: Float[np.ndarray, "horizon agents action"], seed: int
    ) -> dict[str, Imagined]:
        """What the world model predicts along given actions, by the order of the agents (`NO_ORDER` if none).

        Args:
            past: the episode up to the start, at least `past` states.
            actions: from the start on, as sampled: not clipped.
            seed: of everything that the model draws.
        """
        ...
