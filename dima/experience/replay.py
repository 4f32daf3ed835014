"""The replay memory: one preallocated ring of transitions on the training device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dima.config import ReplayConfig
from dima.experience.dimensions import Dimensions
from dima.experience.transitions import Episode, Segments, Sequences, Windows

LEAST_WEIGHT = 1e-30
"""Relative weight of a much visited row: not 0, which is that of rows that must not be drawn."""
NO_EPISODE = 2**62  # fills the table of episodes: greater than any number in it
FIELDS = ("state", "observation", "action", "reward", "terminated", "truncated", "next_state")


class Replay:
    """Ring of the newest `capacity` transitions, sampled by steps, segments or windows of episodes.

    Sampling draws from the given generator and never synchronises with the host: counts are on the device as
    well.

    Args:
        config: capacity and sampling rules.
        dimensions: of the environment; a method that keeps no global states has a state of size 0.
        device: of all tensors.
        models: those that draw by visits, which are counted for each.
        fixed_shapes: draw by visits among all `capacity` rows, of which empty ones are never chosen, so that
            a CUDA graph stays valid while the memory fills. Otherwise among filled rows only: the same, and
            faster.
    """

    def __init__(
        self,
        config: ReplayConfig,
        dimensions: Dimensions,
        device: torch.device,
        models: Sequence[str] = ("state_decoder", "reward_model"),
        *,
        fixed_shapes: bool = False,
    ) -> None:
        self.config = config
        self._fixed_shapes = fixed_shapes
        self.size = 0
        self.total = 0
        states, agents, observations, actions = dimensions
        rows = {
            "state": (states,),
            "observation": (agents, observations),
            "action": (agents, actions),
            "reward": (),
            "terminated": (),
            "truncated": (),
            "next_state": (states,),
        }
        self._data = {
            name: torch.zeros(
                config.capacity,
                *shape,
                dtype=torch.bool if name in ("terminated", "truncated") else torch.float32,
                device=device,
            )
            for name, shape in rows.items()
        }
        self._visits: dict[str, Float[Tensor, " capacity"]] = {
            name: torch.zeros(config.capacity, device=device) for name in models
        }
        # episodes still wholly in the ring, oldest first: the number of their first transition since the
        # start of the run, and their length
        self._episodes: list[tuple[int, int]] = []
        weights = torch.tensor(config.recency_weights, dtype=torch.float64)
        self._recency = (weights.cumsum(0) / weights.sum()).to(device)
        self._device = device
        # what sampling reads, changed in place: rows in use and the first of them, episodes and their steps,
        # and for each episode, oldest first, the number of its first transition, its length, and the summed
        # lengths up to its end
        self._filled, self._oldest, self._count, self._steps = (
            torch.zeros((), dtype=torch.long, device=device) for _ in range(4)
        )
        self._starts, self._lengths, self._ends = (
            torch.full((config.capacity,), NO_EPISODE, device=device) for _ in range(3)
        )

    def append(self, episode: Episode, *, continues: bool = False) -> None:
        """Store an episode, or with `continues` the next part of the newest one, in place of the oldest rows.

        Raises:
            ValueError: the episode is empty or longer than the ring.
        """
        length = len(episode.reward)
        if not 0 < length <= self.config.capacity:
            raise ValueError(
                f"An episode of {length} transitions does not fit a replay memory of {self.config.capacity}."
            )
        rows = torch.arange(self.total, self.total + length, device=self._device) % self.config.capacity
        for name in FIELDS:
            self._data[name][rows] = getattr(episode, name).to(self._device)
        for visits in self._visits.values():
            visits[rows] = 0.0
        start, stored = self._episodes.pop() if continues else (self.total, 0)
        self._episodes.append((start, stored + length))
        self.total += length
        self.size = min(self.total, self.config.capacity)
        self._episodes = [
            (start, count) for start, count in self._episodes if start >= self.total - self.size
        ]
        self._index_episodes()

    def _index_episodes(self) -> None:
        table = torch.tensor(self._episodes, dtype=torch.long).reshape(-1, 2)
        for kept, values in (
            (self._starts, table[:, 0]),
            (self._lengths, table[:, 1]),
            (self._ends, table[:, 1].cumsum(0)),
        ):
            kept[: len(table)] = values.to(self._device)
        self._ends[len(table) :] = NO_EPISODE
        numbers = (self.size, self.total - self.size, len(table), int(table[:, 1].sum()))
        for kept, number in zip((self._filled, self._oldest, self._count, self._steps), numbers, strict=True):
            kept.fill_(number)

    def episodes(self) -> list[Episode]:
        """Copies of the episodes that are still whole, oldest first; the newest may not have ended."""
        rows = [
            torch.arange(start, start + count, device=self._device) % self.config.capacity
            for start, count in self._episodes
        ]
        return [Episode(**{name: self._data[name][chosen] for name in FIELDS}) for chosen in rows]

    def sample_steps(
        self, count: int, model: str, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch state"], Tensor]:
        """States and observations [batch, agents, observation] for `model`, least visited most likely."""
        rows = self._least_visited(count, 1, model, generator)
        return self._data["state"][rows], self._data["observation"][rows]

    def sample_segments(self, count: int, length: int, model: str, generator: torch.Generator) -> Segments:
        """`count` segments of `length` transitions for `model`, least visited starts most likely."""
        rows = self._segment_rows(count, length, model, generator)
        return Segments(
            *(self._data[name][rows] for name in ("state", "action", "reward", "terminated", "truncated"))
        )

    def sample_sequences(self, count: int, length: int, model: str, generator: torch.Generator) -> Sequences:
        """`sample_segments` with what the agents observed instead of the state."""
        return self._sequences(self._segment_rows(count, length, model, generator))

    def sample_uniform_sequences(self, count: int, length: int, generator: torch.Generator) -> Sequences:
        """`count` sequences of `length` transitions with uniform starts, drawn with replacement.

        Raises:
            ValueError: fewer than `length` transitions are stored.
        """
        candidates = self.size - length + 1
        if candidates < 1:
            raise ValueError(f"{self.size} stored transitions hold no sequence of {length}.")
        starts = (
            self.total
            - self.size
            + torch.randint(candidates, (count,), generator=generator, device=self._device)
        )
        return self._sequences(
            (starts[:, None] + torch.arange(length, device=self._device)) % self.config.capacity
        )

    def _sequences(self, rows: Int[Tensor, "batch time"]) -> Sequences:
        return Sequences(*(self._data[field.name][rows] for field in fields(Sequences)))

    def _segment_rows(
        self, count: int, length: int, model: str, generator: torch.Generator
    ) -> Int[Tensor, "batch time"]:
        starts = self._least_visited(count, length, model, generator)
        return (starts[:, None] + torch.arange(length, device=self._device)) % self.config.capacity

    def sample_starts(
        self, count: int, generator: torch.Generator
    ) -> Float[Tensor, "batch agents observation"]:
        """Joint observations of uniform steps of uniform episodes (docs/baselines.md#marie-behaviour)."""
        uniform = torch.rand(2, count, generator=generator, device=self._device, dtype=torch.float64)
        episode = (uniform[0] * self._count).long()
        step = (uniform[1] * self._lengths[episode]).long()
        return self._data["observation"][(self._starts[episode] + step) % self.config.capacity]

    def _least_visited(
        self, count: int, length: int, model: str, generator: torch.Generator
    ) -> Int[Tensor, " batch"]:
        """Start rows with p ~ exp(-visits/20) or 1 - visits/sum, without replacement if there are enough.

        Weighted sampling without replacement takes the smallest E_i / p_i with E_i ~ Exp(1): unlike
        `torch.multinomial` it never waits for the device. See docs/method.md#replay-memory.
        """
        if self.size < length:
            raise ValueError(f"{self.size} stored transitions hold no segment of {length}.")
        candidates = self._filled - length + 1
        place = torch.arange(
            self.config.capacity if self._fixed_shapes else self.size - length + 1, device=self._device
        )
        is_candidate = place < candidates
        starts = (self._oldest + place) % self.config.capacity
        visits = self._visits[model]
        weights = self._weights(visits[starts], is_candidate)
        keys = (torch.empty_like(weights).exponential_(generator=generator) / weights).masked_fill(
            ~is_candidate, torch.inf
        )
        order = keys.topk(min(count, len(place)), largest=False).indices
        # if fewer than `count`, all are drawn equally often, and the first of the order once more
        rows = starts[order[torch.arange(count, device=self._device) % candidates]]
        if self._fixed_shapes:  # a deterministic `index_add_` may wait for a GPU, which a graph cannot
            ordered, row = rows.sort().values, torch.arange(len(visits), device=self._device)
            visits += torch.searchsorted(ordered, row, right=True) - torch.searchsorted(ordered, row)
        else:
            visits.index_add_(0, rows, torch.ones_like(rows, dtype=visits.dtype))
        return rows

    def _weights(
        self, visits: Float[Tensor, " rows"], is_candidate: Bool[Tensor, " rows"]
    ) -> Float[Tensor, " rows"]:
        """p of every candidate up to a common factor; arbitrary for other rows."""
        temperature = self.config.visit_temperature
        if temperature is None:
            return (1.0 - visits / visits.masked_fill(~is_candidate, 0.0).sum().clamp(min=1.0)).clamp(
                min=1e-6
            )
        fewest = visits.masked_fill(~is_candidate, torch.inf).min()
        return torch.exp(-(visits - fewest) / temperature).clamp(min=LEAST_WEIGHT)

    def sample_windows(self, count: int, length: int, generator: torch.Generator) -> Windows:
        """`count` windows of `length` transitions, ending up to `length` - 1 after a drawn step.

        Windows that start before their episode are padded on the left with zeros; `valid` marks real
        transitions. `observation` is the joint observation at the last transition. See
        docs/method.md#replay-memory.
        """
        episode, step = self._sample_episode_steps(count, generator)
        lengths = self._lengths[episode]
        shift = torch.randint(length, (count,), generator=generator, device=self._device)
        last = torch.minimum(lengths - 1, step + shift)
        steps = last[:, None] + torch.arange(1 - length, 1, device=self._device)
        valid = steps >= 0
        rows = (self._starts[episode][:, None] + steps.clamp(min=0)) % self.config.capacity
        return Windows(
            state=self._data["state"][rows],
            action=self._data["action"][rows] * valid[..., None, None],
            next_state=self._data["next_state"][rows],
            observation=self._data["observation"][rows[:, -1]],
            valid=valid,
        )

    def _sample_episode_steps(
        self, count: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
        """Episode numbers and steps: by age quarters with the recency weights, by length below 4 episodes."""
        uniform = torch.rand(3, count, generator=generator, device=self._device, dtype=torch.float64)
        position = (uniform[0] * self._steps).long()
        episode = torch.minimum(torch.searchsorted(self._ends, position, right=True), self._count - 1)
        step = position - (self._ends[episode] - self._lengths[episode])
        if self.config.window_sampling == "uniform":
            return episode, step
        quarter = torch.searchsorted(self._recency, uniform[0], right=True).clamp(max=3)
        low, high = self._quarter_bound(quarter), self._quarter_bound(quarter + 1)
        by_age = low + (uniform[1] * (high - low)).long()
        few = self._count < 4
        return torch.where(few, episode, by_age), torch.where(
            few, step, (uniform[2] * self._lengths[by_age]).long()
        )

    def _quarter_bound(self, quarter: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """First episode of a quarter; for the fifth the number of episodes."""
        if self.config.recency_remainder == "spread":
            return quarter * self._count // 4
        return torch.where(quarter == 4, self._count, quarter * (self._count // 4))

    def state_dict(self) -> dict[str, Any]:
        """The stored transitions, visits and episode table."""
        data = {name: values[: self.size] for name, values in self._data.items()}
        visits = {name: values[: self.size] for name, values in self._visits.items()}
        return {
            "total": self.total,
            "data": data,
            "visits": visits,
            "episodes": torch.tensor(self._episodes, dtype=torch.long).reshape(-1, 2),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.total = int(state["total"])
        self.size = min(self.total, self.config.capacity)
        for name, values in [*state["data"].items(), *state["visits"].items()]:
            target = self._data[name] if name in self._data else self._visits[name]
            target[: self.size] = values.to(self._device)
        self._episodes = [(int(start), int(length)) for start, length in state["episodes"].tolist()]
        self._index_episodes()
