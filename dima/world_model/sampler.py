"""Euler sampling of the next state, one agent's action a denoising step (docs/method.md#sampling)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dima.config import SamplerConfig
from dima.world_model.denoiser import Denoiser, Network
from dima.world_model.noise import Preconditioning, sampling_noise_levels


class EulerSampler:
    """x <- x + (x - D(x; sigma_j)) / sigma_j (sigma_{j+1} - sigma_j), from noise to the next state.

    Args:
        denoiser: D.
        config: noise levels, order of the agents, scale of the initial noise.
    """

    def __init__(self, denoiser: Denoiser, config: SamplerConfig, device: torch.device) -> None:
        self.denoiser = denoiser
        self.config = config
        self.steps = config.steps_for(denoiser.agents)
        self.sigmas = sampling_noise_levels(self.steps, config).to(device)
        self._initial_scale = (
            self.sigmas[0] if config.initial_noise == "scaled" else torch.ones((), device=device)
        )
        self._fixed_order = self._named_order(device)

    def _named_order(self, device: torch.device) -> Int[Tensor, " steps"]:
        """Agents from 0, one a step; for K = cN every agent keeps the turn for c steps."""
        agents, order = self.denoiser.agents, self.config.order
        if isinstance(order, tuple):
            return torch.tensor(order, device=device) - 1
        ascending = torch.arange(agents, device=device).repeat_interleave(self.steps // agents)
        return ascending.flip(0) if order == "descending" else ascending

    def draw_order(self, batch: int, generator: torch.Generator) -> Int[Tensor, "batch steps"]:
        """The agent whose action each step sees; `random` draws a permutation for every row."""
        if self.config.order != "random":
            return self._fixed_order.expand(batch, -1)
        keys = torch.rand(batch, self.denoiser.agents, generator=generator, device=self.sigmas.device)
        return keys.argsort(dim=1).repeat_interleave(self.steps // self.denoiser.agents, dim=1)

    def draw_noise(
        self, batch: int, state_dim: int, generator: torch.Generator
    ) -> Float[Tensor, "batch state"]:
        """The initial noise."""
        return (
            torch.randn(batch, state_dim, generator=generator, device=self.sigmas.device)
            * self._initial_scale
        )

    def prepared(self) -> Network:
        """The network for many calls of `sample` with the same weights."""
        return self.denoiser.prepared()

    def sample(
        self,
        history: Float[Tensor, "batch steps state"],
        actions: Float[Tensor, "batch steps agents action"],
        order: Int[Tensor, "batch denoising"],
        noise: Float[Tensor, "batch state"],
        network: Network | None = None,
    ) -> Float[Tensor, "batch state"]:
        """The next state in scaled units.

        What does not depend on the noisy state is computed before the loop: one pass of the action encoder
        for all agents, and one matrix product for the scales and shifts of all steps. `network` is from
        `prepared`.
        """
        network, state = network or self.prepared(), noise
        coefficients = self.denoiser.precondition(self.sigmas[:-1])
        modulations = self._modulations(actions, order, coefficients.c_noise)
        for step, c in enumerate(zip(*coefficients, strict=True)):
            sigma, next_sigma = self.sigmas[step], self.sigmas[step + 1]
            denoised = self.denoiser(state, Preconditioning(*c), history, modulations[step], network)
            state = (
                state + (state - denoised) / sigma * (next_sigma - sigma)
                if step + 1 < self.steps
                else denoised
            )
        return state

    def _modulations(
        self,
        actions: Float[Tensor, "batch steps agents action"],
        order: Int[Tensor, "batch denoising"],
        c_noise: Float[Tensor, " denoising"],
    ) -> Float[Tensor, "denoising batch modulation"]:
        conditions = self._conditions(actions, order).transpose(0, 1)
        levels = c_noise[:, None].expand(-1, len(actions)).flatten()
        return self.denoiser.modulation(levels, conditions.flatten(0, 1)).unflatten(0, conditions.shape[:2])

    def _conditions(
        self, actions: Float[Tensor, "batch steps agents action"], order: Int[Tensor, "batch denoising"]
    ) -> Float[Tensor, "batch denoising condition"]:
        """The action condition of every denoising step, computed once for steps that see the same actions."""
        denoiser, batch = self.denoiser, len(actions)
        if denoiser.config.conditioning == "cumulative":
            # every agent keeps its turn for as many steps as any other, unless the order is a list
            turns = 1 if isinstance(self.config.order, tuple) else self.steps // denoiser.agents
            return denoiser.action_encoder(actions, denoiser.revealed(order[:, ::turns])).repeat_interleave(
                turns, dim=1
            )
        if denoiser.config.conditioning == "joint":
            return denoiser.action_encoder(actions, denoiser.revealed(order[:, :1])).expand(
                -1, self.steps, -1
            )
        each = torch.arange(denoiser.agents, device=actions.device)
        conditions = denoiser.action_encoder(actions, denoiser.revealed(each).expand(batch, -1, -1))
        return conditions.gather(1, order[..., None].expand(-1, -1, conditions.shape[-1]))
