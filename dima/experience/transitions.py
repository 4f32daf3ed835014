"""Transitions as they are stored and as they are sampled."""

from __future__ import annotations

from dataclasses import dataclass, fields

from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Episode:
    """An episode, or a part of one, of T transitions, on any device, in raw units."""

    state: Float[Tensor, "time state"]
    observation: Float[Tensor, "time agents observation"]
    action: Float[Tensor, "time agents action"]
    reward: Float[Tensor, " time"]
    terminated: Bool[Tensor, " time"]
    truncated: Bool[Tensor, " time"]
    next_state: Float[Tensor, "time state"]


@dataclass(frozen=True)
class Windows:
    """Consecutive transitions of single episodes, ending at a sampled one, padded with zeros on the left."""

    state: Float[Tensor, "batch time state"]
    action: Float[Tensor, "batch time agents action"]
    next_state: Float[Tensor, "batch time state"]
    observation: Float[Tensor, "batch agents observation"]
    valid: Bool[Tensor, "batch time"]

    def rows(self, first: int, end: int) -> Windows:
        """Rows `first` to `end`, without `end`."""
        return Windows(*(getattr(self, field.name)[first:end] for field in fields(self)))


@dataclass(frozen=True)
class Segments:
    """Consecutive transitions of the ring; a segment may run from one episode into the next."""

    state: Float[Tensor, "batch time state"]
    action: Float[Tensor, "batch time agents action"]
    reward: Float[Tensor, "batch time"]
    terminated: Bool[Tensor, "batch time"]
    truncated: Bool[Tensor, "batch time"]


@dataclass(frozen=True)
class Sequences:
    """Consecutive transitions of the ring as the agents saw them; like `Segments` they may span episodes."""

    observation: Float[Tensor, "batch time agents observation"]
    action: Float[Tensor, "batch time agents action"]
    reward: Float[Tensor, "batch time"]
    terminated: Bool[Tensor, "batch time"]
    truncated: Bool[Tensor, "batch time"]
