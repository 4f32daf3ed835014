"""Sizes, weights and random data of every measured part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dima.behavior.actor_critic import ActorCritic
from dima.behavior.imagination import Rollout
from dima.config import DimaParameters
from dima.config.grid import CellKey, load_grid
from dima.experience.dimensions import Dimensions
from dima.experience.transitions import Segments, Windows
from dima.world_model.world_model import WorldModel

CONFIG = Path(__file__).resolve().parents[1] / "workflow" / "config"
SIZES = {
    "paper": ("halfcheetah-2x3", Dimensions(17, 2, 19, 3)),
    "quick": ("push-mass", Dimensions(6, 2, 5, 1)),
}
"""Grid, its task and that task's (D, N, O, A)."""
PARTS = ("state_decoder", "denoiser", "reward_model", "imagination", "behavior")


class Sizes(NamedTuple):
    """Parameters, dimensions, and rows of one call of each part, which may be fewer than configured."""

    parameters: DimaParameters
    shapes: Dimensions
    rows: Mapping[str, int]

    def calls_per_epoch(self, part: str) -> float:
        """Calls of these rows that have as much work as one epoch of this part."""
        updates = {name: getattr(self.parameters, name).updates_per_epoch for name in PARTS[:3]}
        calls = updates.get(part, self.parameters.behavior.policy_updates_per_epoch)
        return calls * full_rows(self.parameters)[part] / self.rows[part]


def full_rows(parameters: DimaParameters) -> dict[str, int]:
    """Rows of one call of each part as configured."""
    rollouts = parameters.behavior.rollouts
    return {name: getattr(parameters, name).batch_size for name in PARTS[:3]} | {
        "imagination": rollouts,
        "behavior": rollouts,
    }


def sizes(name: str, **rows: int) -> Sizes:
    """DIMA's sizes in the grid `name`; `rows` overrides those of some parts."""
    task, shapes = SIZES[name]
    parameters = load_grid(name, CONFIG).resolve(CellKey(task, "dima", 1)).parameters
    if not isinstance(parameters, DimaParameters):
        raise TypeError(f"{name} has no DIMA parameters")
    return Sizes(parameters, shapes, full_rows(parameters) | rows)


def models(parameters: DimaParameters, shapes: Dimensions) -> tuple[WorldModel, ActorCritic]:
    """Seeded weights, none of them zero, as after training."""
    torch.manual_seed(0)
    world_model = WorldModel(shapes, parameters, torch.device("cpu")).eval()
    actor_critic = ActorCritic(shapes, parameters.behavior, torch.device("cpu"))
    world_model.normalizer.update(0.5 + 2 * torch.randn(100, shapes[0]))
    actor_critic.value_normalizer.update(3 + torch.randn(100))
    for module in (world_model, actor_critic.actor, actor_critic.critic):
        for parameter in module.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.05)
    return world_model, actor_critic


@dataclass(frozen=True)
class Data:
    """A minibatch for each part; some windows begin before their episode, some episodes end in segments."""

    states: Tensor
    observations: Tensor
    windows: Windows
    segments: Segments
    starts: Windows
    restarts: Windows | None
    rollout: Rollout


def random_data(sizes: Sizes) -> Data:
    """Seeded, in the units of the replay memory (rollouts in scaled units)."""
    generator = torch.Generator().manual_seed(1)
    (states, agents, observations, actions), rows = sizes.shapes, sizes.rows
    denoiser, horizon = sizes.parameters.denoiser, sizes.parameters.behavior.horizon
    ends = sizes.parameters.reward_model.termination == "categorical"

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def chance(probability: float, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) < probability

    def windows(count: int, length: int) -> Windows:
        first = torch.randint(length, (count, 1), generator=generator) * chance(0.25, count, 1)
        valid = torch.arange(length) >= first
        action = normal(count, length, agents, actions) * valid[..., None, None]
        return Windows(
            normal(count, length, states),
            action,
            normal(count, length, states),
            normal(count, agents, observations),
            valid,
        )

    count = rows["reward_model"]
    segments = Segments(
        normal(count, horizon, states), normal(count, horizon, agents, actions), 2 * normal(count, horizon),
        chance(0.05, count, horizon), chance(0.05, count, horizon),
    )  # fmt: skip
    count = rows["behavior"]
    rollout = Rollout(
        state=normal(count, horizon + 1, states),
        last_action=normal(count, horizon + 1, agents, actions),
        observation=normal(count, horizon, agents, observations),
        action=0.4 * normal(count, horizon, agents, actions),
        reward=normal(count, horizon),
        continuation=torch.rand(count, horizon, generator=generator),
    )
    return Data(
        states=normal(rows["state_decoder"], states),
        observations=normal(rows["state_decoder"], agents, observations),
        windows=windows(rows["denoiser"], denoiser.conditioning_states + denoiser.autoregressive_steps - 1),
        segments=segments,
        starts=windows(rows["imagination"], denoiser.conditioning_states),
        restarts=windows((horizon - 1) * rows["imagination"], denoiser.conditioning_states) if ends else None,
        rollout=rollout,
    )
