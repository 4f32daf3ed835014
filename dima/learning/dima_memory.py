"""The GPU memory that DIMA needs."""

from __future__ import annotations

from dima.config import DimaParameters
from dima.experience.dimensions import Dimensions

BYTES_PER_NUMBER = 75
"""Held on the GPU for every number that the layers keep in learning, all included: 2.46 GB at the paper's
sizes on HalfCheetah-2x3, as measured with the preset `fast` and CUDA graphs on an H100."""


def needed_memory(parameters: DimaParameters, dimensions: Dimensions) -> float:
    """Approximate bytes: the replay memory, and what learning holds for the numbers that layers keep."""
    p, encoder, sizes = parameters, parameters.denoiser.action_encoder, dimensions
    # a row: two states, what the agents see and do, a reward, the visits of two models, and two ends
    row = 4 * (2 * sizes.state + sizes.agents * (sizes.observation + sizes.action) + 3) + 2
    encoded = encoder.latents * encoder.latent_dim
    reward_model = (
        p.reward_model.batch_size * 2 * p.behavior.horizon * p.reward_model.dim * p.reward_model.layers
    )
    denoiser = p.denoiser.batch_size * p.denoiser.autoregressive_steps * encoded * encoder.depth
    imagination = p.behavior.rollouts * sizes.agents * encoded
    return p.replay.capacity * row + BYTES_PER_NUMBER * (reward_model + denoiser + imagination)
