"""Noise levels and preconditioning of EDM (Karras et al. 2022; eq. 10 and 14-18 of the paper)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dima.config import DenoiserConfig, SamplerConfig


class Preconditioning(NamedTuple):
    """The four coefficients of D(x; sigma) = c_skip x + c_out F(c_in x, c_noise)."""

    c_skip: Float[Tensor, "*batch"]
    c_out: Float[Tensor, "*batch"]
    c_in: Float[Tensor, "*batch"]
    c_noise: Float[Tensor, "*batch"]


def precondition(
    sigma: Float[Tensor, "*batch"], sigma_data: float, sigma_offset_noise: float
) -> Preconditioning:
    """Eq. 14-17 with sigma' = sqrt(sigma^2 + sigma_offset^2) for sigma; the paper's text has offset 0.

    See docs/method.md#preconditioning.
    """
    total = (sigma.square() + sigma_offset_noise**2).sqrt()
    norm = (total.square() + sigma_data**2).sqrt()
    return Preconditioning(
        sigma_data**2 / norm.square(), total * sigma_data / norm, 1.0 / norm, total.log() / 4.0
    )


def training_noise_levels(
    shape: tuple[int, ...], config: DenoiserConfig, generator: torch.Generator, device: torch.device
) -> Float[Tensor, "*shape"]:
    """ln sigma ~ N(noise_mean, noise_std^2) (eq. 18), clipped to [noise_min, noise_max] as in the release."""
    normal = torch.randn(shape, generator=generator, device=device)
    return (normal * config.noise_std + config.noise_mean).exp().clamp(config.noise_min, config.noise_max)


def sampling_noise_levels(steps: int, config: SamplerConfig) -> Float[Tensor, " levels"]:
    """sigma_i = (a + i/(K-1) (b - a))^rho for i < K, a = sigma_max^(1/rho), b = sigma_min^(1/rho); then 0.

    See docs/method.md#noise-levels.
    """
    low, high = config.sigma_min ** (1 / config.rho), config.sigma_max ** (1 / config.rho)
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    levels = (high + ramp * (low - high)) ** config.rho
    return torch.cat([levels, levels.new_zeros(1)]).float()
