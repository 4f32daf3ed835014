"""The denoiser, its training loss and Euler sampling (eq. 8-18).

The action condition is computed anew at every denoising step.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Bool, Float, Int
from torch import Tensor

from benchmarks.reference.layers import action_tokens, attention, gated_block, geglu, mlp, split_heads
from benchmarks.reference.unet import unet
from dima.config import DenoiserConfig, SamplerConfig
from dima.experience.transitions import Windows
from dima.world_model.action_encoder import ActionEncoder
from dima.world_model.denoiser import Denoiser


class DenoisingDraws(NamedTuple):
    """The random numbers of one training batch, for each of its sub-steps."""

    level: Float[Tensor, "batch substeps"]
    """standard normal, of the noise level"""
    offset_noise: Float[Tensor, "batch substeps state"]
    noise: Float[Tensor, "batch substeps state"]
    agent: Int[Tensor, "batch substeps"]
    """whose action is revealed, from 0; with cumulative conditioning, how many besides the first one's"""
    rank: Int[Tensor, "batch substeps agents"]
    """each agent's place in a random order, read with cumulative conditioning"""


def denoiser_loss(
    denoiser: Denoiser,
    windows: Windows,
    states: Float[Tensor, "batch time state"],
    next_states: Float[Tensor, "batch time state"],
    draws: DenoisingDraws,
) -> Float[Tensor, ""]:
    """(F - (u - c_skip x) / c_out)^2, the mean over the rows whose target is real and over the sub-steps.

    Args:
        denoiser: the weights.
        windows: actions and validity of n + S - 1 transitions a row.
        states: z-scores of the windows' states.
        next_states: z-scores of the states that follow.
        draws: noise levels, noise and agents.
    """
    config, n = denoiser.config, denoiser.config.conditioning_states
    frames = [config.sigma_data * states[:, i] * windows.valid[:, i, None] for i in range(states.shape[1])]
    total = torch.zeros(())
    for step in range(config.autoregressive_steps):
        current = n - 1 + step
        target = config.sigma_data * next_states[:, current]
        sigma = (
            (config.noise_mean + config.noise_std * draws.level[:, step])
            .exp()
            .clamp(config.noise_min, config.noise_max)
        )
        noisy = (
            target
            + config.sigma_offset_noise * draws.offset_noise[:, step]
            + sigma[:, None] * draws.noise[:, step]
        )
        c_skip, c_out, c_in, c_noise = preconditioning(config, sigma)
        history, actions = (
            torch.stack(frames[step : current + 1], dim=1),
            windows.action[:, step : current + 1],
        )
        if config.conditioning == "cumulative":
            mask = draws.rank[:, step] <= draws.agent[:, step, None]
        else:
            mask = revealed(denoiser, draws.agent[:, step, None])
        output = network(denoiser, c_in[:, None] * noisy, c_noise, history, actions, mask)

        real = windows.valid[:, current, None]
        error = (output - (target - c_skip[:, None] * noisy) / c_out[:, None]).square()
        total = total + (error * real).sum() / max(1, int(real.sum()) * error.shape[1])
        if current + 1 < len(frames):
            predicted = (c_skip[:, None] * noisy + c_out[:, None] * output).detach()
            frames[current + 1] = torch.where(real, predicted, frames[current + 1])
    return total / config.autoregressive_steps


def sample_next_state(
    denoiser: Denoiser,
    config: SamplerConfig,
    history: Float[Tensor, "batch n state"],
    actions: Float[Tensor, "batch n agents action"],
    order: Int[Tensor, "batch denoising"],
    noise: Float[Tensor, "batch state"],
) -> Float[Tensor, "batch state"]:
    """x <- x + (x - D(x; sigma_j)) / sigma_j (sigma_{j+1} - sigma_j), from normal `noise` to sigma = 0.

    Step j is conditioned on the action of agent `order[:, j]` (from 0).
    """
    levels = noise_levels(order.shape[1], config)
    x = noise * levels[0] if config.initial_noise == "scaled" else noise
    for step, (sigma, following) in enumerate(zip(levels[:-1], levels[1:], strict=True)):
        mask = revealed(denoiser, order[:, : step + 1])
        slope = (x - denoise(denoiser, x, x.new_full((len(x),), sigma), history, actions, mask)) / sigma
        x = x + slope * (following - sigma)
    return x


def noise_levels(steps: int, config: SamplerConfig) -> list[float]:
    """sigma_i = (sigma_max^(1/rho) + i/(K-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho; sigma_K = 0."""
    high, low = config.sigma_max ** (1 / config.rho), config.sigma_min ** (1 / config.rho)
    return [(high + i / max(1, steps - 1) * (low - high)) ** config.rho for i in range(steps)] + [0.0]


def denoise(
    denoiser: Denoiser,
    noisy: Float[Tensor, "batch state"],
    sigma: Float[Tensor, " batch"],
    history: Float[Tensor, "batch n state"],
    actions: Float[Tensor, "batch n agents action"],
    mask: Bool[Tensor, "batch agents"],
) -> Float[Tensor, "batch state"]:
    """D(x; sigma) = c_skip x + c_out F(c_in x, c_noise) (eq. 10)."""
    c_skip, c_out, c_in, c_noise = preconditioning(denoiser.config, sigma)
    output = network(denoiser, c_in[:, None] * noisy, c_noise, history, actions, mask)
    return c_skip[:, None] * noisy + c_out[:, None] * output


def preconditioning(
    config: DenoiserConfig, sigma: Float[Tensor, " batch"]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """c_skip, c_out, c_in and c_noise (eq. 14-17) at sigma' = sqrt(sigma^2 + sigma_offset^2)."""
    data, level = config.sigma_data, (sigma**2 + config.sigma_offset_noise**2) ** 0.5
    root = (level**2 + data**2) ** 0.5
    return data**2 / root**2, level * data / root, 1 / root, level.log() / 4


def revealed(denoiser: Denoiser, turns: Int[Tensor, "batch past"]) -> Bool[Tensor, "batch agents"]:
    """The agent whose turn is the last one.

    All who have had a turn where conditioning is cumulative, all there are where it is joint.
    """
    one_hot = F.one_hot(turns, denoiser.agents).bool()
    if denoiser.config.conditioning == "joint":
        return torch.ones_like(one_hot[:, 0])
    return one_hot.any(dim=1) if denoiser.config.conditioning == "cumulative" else one_hot[:, -1]


def network(
    denoiser: Denoiser,
    scaled_noisy: Float[Tensor, "batch state"],
    c_noise: Float[Tensor, " batch"],
    history: Float[Tensor, "batch n state"],
    actions: Float[Tensor, "batch n agents action"],
    mask: Bool[Tensor, "batch agents"],
) -> Float[Tensor, "batch state"]:
    """F: a U-Net over the n past frames and the noisy one, modulated by noise level and revealed actions.

    The last frame of its output.
    """
    angles = 2 * math.pi * c_noise[:, None] * denoiser.frequencies
    noise_embedding = torch.cat([angles.cos(), angles.sin()], dim=1)
    condition = mlp(
        denoiser.condition, noise_embedding + action_condition(denoiser.action_encoder, actions, mask), F.silu
    )
    frames = torch.cat([history, scaled_noisy[:, None]], dim=1).transpose(1, 2)
    hidden = unet(denoiser.unet, denoiser.read(frames), condition)
    return denoiser.write(F.silu(denoiser.write_norm(hidden)))[:, :, -1]


def action_condition(
    encoder: ActionEncoder,
    actions: Float[Tensor, "batch n agents action"],
    mask: Bool[Tensor, "batch agents"],
) -> Float[Tensor, "batch condition"]:
    """Perceiver over the tokens of n joint actions.

    Of the last one only the agents in `mask` can be attended to.
    """
    batch, n, agents, _ = actions.shape
    tokens = (action_tokens(encoder.tokens, actions) + encoder.time[:, None]).flatten(1, 2)
    visible = torch.cat([mask.new_ones(batch, (n - 1) * agents), mask], dim=1)
    latents = encoder.latents.repeat(batch, 1, 1)
    query = split_heads(encoder.query(encoder.latent_norm(latents)), encoder.heads)
    key, value = (
        split_heads(part, encoder.heads)
        for part in encoder.key_value(encoder.token_norm(tokens)).chunk(2, dim=-1)
    )
    latents = latents + encoder.cross_output(attention(query, key, value, visible[:, None]))
    latents = latents + geglu(encoder.cross_feed_forward, encoder.cross_feed_forward_norm(latents))
    for block in encoder.blocks:
        latents = gated_block(block, latents)  # type: ignore[arg-type] - a Sequential of GatedBlocks
    norm, linear = encoder.output
    return linear(norm(latents.mean(dim=1)))
