"""The random numbers that `dima` draws, in its order, for the reference."""

from __future__ import annotations

import torch

from benchmarks.reference.denoiser import DenoisingDraws
from benchmarks.reference.imagination import ImaginationDraws
from dima.experience.dimensions import Dimensions
from dima.experience.random import RandomStreams
from dima.world_model.denoiser import Denoiser


def denoising_draws(
    denoiser: Denoiser, batch: int, state_dim: int, generator: torch.Generator
) -> DenoisingDraws:
    """What `Denoiser.loss` draws."""
    substeps = denoiser.config.autoregressive_steps
    level = torch.randn(batch, substeps, generator=generator)
    offset_noise, noise = torch.randn(2, batch, substeps, state_dim, generator=generator)
    agent = torch.randint(denoiser.agents, (batch, substeps), generator=generator)
    rank = torch.rand(batch, substeps, denoiser.agents, generator=generator).argsort(dim=-1).argsort(dim=-1)
    return DenoisingDraws(level, offset_noise, noise, agent, rank)


def imagination_draws(
    shapes: Dimensions, batch: int, horizon: int, streams: RandomStreams
) -> ImaginationDraws:
    """What `imagine` draws, for shapes (D, N, O, A).

    Unused draws come from streams of their own, so they change nothing else.
    """
    states, agents, _, actions = shapes
    return ImaginationDraws(
        policy=torch.stack(
            [torch.randn(batch, agents, actions, generator=streams["policy"]) for _ in range(horizon)]
        ),
        noise=torch.stack([torch.randn(batch, states, generator=streams["noise"]) for _ in range(horizon)]),
        order=torch.stack([torch.rand(batch, agents, generator=streams["order"]) for _ in range(horizon)]),
        ends=torch.stack([torch.rand(batch, generator=streams["ends"]) for _ in range(horizon)]),
    )
