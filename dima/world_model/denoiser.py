"""The conditional denoiser: EDM preconditioning around a U-Net (eq. 9 and 10)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from dima.config import Compute, DenoiserConfig
from dima.experience.transitions import Windows
from dima.world_model.action_encoders import make_action_encoder
from dima.world_model.dense import Affine, DenseConvolutions, Product
from dima.world_model.fused.layout import Layout
from dima.world_model.fused.network import FusedNetwork
from dima.world_model.noise import Preconditioning, precondition, training_noise_levels
from dima.world_model.unet import UNet

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""`Denoiser.network` with the present weights."""
GROUP_NORM_EPSILON = 1e-5
OUTPUT_GROUPS = 2


class Denoiser(nn.Module):
    """D(x; sigma, past states, actions of the revealed agents): the clean next state from a noisy one.

    States are in scaled units u = sigma_data z(s).

    Args:
        state_dim: D.
        agents: N.
        action_dim: A.
        config: sizes and training noise.
        compute: preset of computing.
    """

    frequencies: Tensor
    varying: Tensor | None

    def __init__(
        self,
        state_dim: int,
        agents: int,
        action_dim: int,
        config: DenoiserConfig,
        compute: Compute = "reference",
    ) -> None:
        super().__init__()
        self.config = config
        self.agents = agents
        condition, width = config.condition_dim, config.channels[0]
        self.action_encoder = make_action_encoder(agents, action_dim, config, compute)
        self.register_buffer("frequencies", torch.randn(condition // 2))
        varying = torch.ones(state_dim, dtype=torch.bool) if config.constant_components == "kept" else None
        self.register_buffer("varying", varying, persistent=False)
        self.condition = nn.Sequential(
            nn.Linear(condition, condition), nn.SiLU(), nn.Linear(condition, condition)
        )
        self.read = nn.Conv1d(state_dim, width, 3, padding=1)
        self.unet = UNet(config.channels, config.blocks, condition)
        groups = OUTPUT_GROUPS if width % OUTPUT_GROUPS == 0 else 1
        self.write_norm = nn.GroupNorm(groups, width, GROUP_NORM_EPSILON)
        self.write = nn.Conv1d(width, state_dim, 3, padding=1)
        nn.init.zeros_(self.write.weight)
        frames = config.conditioning_states + 1
        self.dense = DenseConvolutions(
            [Product((self.read,), frames, state_dim), *self.unet.products(frames)], self.unet.width
        )
        self._fused: FusedNetwork | None = None

    def modulation(
        self, c_noise: Float[Tensor, " batch"], action_condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch modulation"]:
        """What the U-Net reads besides its input: noise level and revealed actions."""
        angles = 2 * math.pi * c_noise[:, None] * self.frequencies
        noise_embedding = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.unet.modulate(self.condition(noise_embedding + action_condition))

    def network(
        self,
        scaled_noisy: Float[Tensor, "batch state"],
        history: Float[Tensor, "batch steps state"],
        modulation: Float[Tensor, "batch m"],
    ) -> Float[Tensor, "batch state"]:
        """F: the raw network on [history, c_in x] in order of time; only the last time is read."""
        return self.prepared()(scaled_noisy, history, modulation)

    def prepared(self) -> Network:
        """`network` for many calls with the same weights; what depends on weights alone is computed once."""
        network, varying = self._prepared(), self.varying
        if varying is None:
            return network
        return lambda scaled_noisy, history, modulation: network(
            scaled_noisy * varying, history * varying, modulation
        )

    def _prepared(self) -> Network:
        if self._fused is not None:
            return self._fused.prepared()
        read, *products = self.dense()
        return lambda scaled_noisy, history, modulation: self._run(
            scaled_noisy, history, modulation, read, products
        )

    def _run(
        self,
        scaled_noisy: Float[Tensor, "batch state"],
        history: Float[Tensor, "batch steps state"],
        modulation: Float[Tensor, "batch m"],
        read: Affine,
        products: Sequence[Affine],
    ) -> Float[Tensor, "batch state"]:
        frames = torch.cat([history.flatten(1), scaled_noisy], dim=1)
        hidden = self.unet(nn.functional.linear(frames, *read), modulation, products)
        channels, width = self.write.in_channels, self.unet.width
        signal = (
            hidden.view(len(hidden), channels // width, -1, width).transpose(2, 3).flatten(1, 2)
        )  # [batch, channels, time]
        last_two = nn.functional.silu(self.write_norm(signal)[..., -2:])
        return nn.functional.linear(
            last_two.flatten(1), self.write.weight[..., :2].flatten(1), self.write.bias
        )

    def compile_network(self) -> None:
        """Compile it for each shape that occurs."""
        self._run = torch.compile(self._run, dynamic=False)  # type: ignore[method-assign]

    def fuse(self) -> None:
        """Run the network as one kernel from now on; see `dima.learning.compute.why_not_fused`."""
        self._fused = FusedNetwork(Layout(self.read, self.unet, self.write_norm, self.write))

    def forward(
        self,
        noisy: Float[Tensor, "batch state"],
        c: Preconditioning,
        history: Float[Tensor, "batch steps state"],
        modulation: Float[Tensor, "batch m"],
        network: Network | None = None,
    ) -> Float[Tensor, "batch state"]:
        """D = c_skip x + c_out F(c_in x, c_noise, condition) (eq. 10), with F from `prepared` if given.

        The coefficients broadcast against the noisy state; c_noise is in `modulation`. A component that is
        kept is copied from the last state.
        """
        output = (network or self.network)(c.c_in * noisy, history, modulation)
        denoised = c.c_skip * noisy + c.c_out * output
        return denoised if self.varying is None else torch.where(self.varying, denoised, history[:, -1])

    def precondition(self, sigma: Float[Tensor, "*batch"]) -> Preconditioning:
        """The four coefficients at noise levels `sigma`."""
        return precondition(sigma, self.config.sigma_data, self.config.sigma_offset_noise)

    def revealed(self, order: Int[Tensor, "*batch steps"]) -> Bool[Tensor, "*batch steps agents"]:
        """Which actions each denoising step may see when agents (from 0) have their turns in `order`."""
        turn = order[..., None] == torch.arange(self.agents, device=order.device)
        if self.config.conditioning == "joint":
            return torch.ones_like(turn)
        return turn.cumsum(dim=-2) > 0 if self.config.conditioning == "cumulative" else turn

    def draw_revealed(
        self, shape: tuple[int, ...], generator: torch.Generator
    ) -> Bool[Tensor, "*shape agents"]:
        """Which actions training examples see: a random agent's, all, or a random number of agents'."""
        device = self.frequencies.device
        agent = torch.randint(self.agents, shape, generator=generator, device=device)
        if self.config.conditioning != "cumulative":
            return self.revealed(agent[..., None])[..., 0, :]
        rank = (
            torch.rand(*shape, self.agents, generator=generator, device=device)
            .argsort(dim=-1)
            .argsort(dim=-1)
        )
        return rank <= agent[..., None]

    def loss(
        self, windows: Windows, normalized: tuple[Tensor, Tensor], generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Mean denoising error over the autoregressive sub-steps (docs/method.md#denoising-loss).

        Each sub-step has its own noise level and its own random agent; later ones are conditioned on the
        one-shot predictions of earlier ones. No gradient flows through a prediction, so the predictions are
        made first, without gradients, and the errors of all sub-steps in one batch. Rows whose target
        precedes their episode do not count, nor do components that are kept.

        Args:
            windows: n + S - 1 transitions a row, S the number of sub-steps.
            normalized: z-scores of `windows.state` and `windows.next_state`, [batch, n + S - 1, state] each.
            generator: of noise levels, noise and agents.
        """
        config, steps, substeps = (
            self.config,
            self.config.conditioning_states,
            self.config.autoregressive_steps,
        )
        batch, device = len(windows.state), windows.state.device
        states = config.sigma_data * normalized[0] * windows.valid[..., None]
        targets = config.sigma_data * normalized[1][:, steps - 1 :]
        counted = windows.valid[:, steps - 1 :, None]
        sigma = training_noise_levels((batch, substeps), config, generator, device)
        noise = torch.randn(2, *targets.shape, generator=generator, device=device)
        revealed = self.draw_revealed((batch, substeps), generator)
        # the action conditions of all sub-steps depend on nothing predicted: one call
        actions = windows.action.unfold(1, steps, 1).permute(0, 1, 4, 2, 3).flatten(0, 1)
        conditions = self.action_encoder(actions, revealed.flatten(0, 1)[:, None])[:, 0]
        c_skip, c_out, c_in, c_noise = self.precondition(sigma[..., None])
        modulations = self.modulation(c_noise.flatten(), conditions)

        noisy = targets + config.sigma_offset_noise * noise[0] + sigma[..., None] * noise[1]
        network, by_step = self.prepared(), modulations.detach().unflatten(0, (batch, substeps))
        frames = list(states.unbind(1))
        with torch.no_grad():
            for step in range(substeps - 1):
                history = torch.stack(frames[step : step + steps], dim=1)
                output = network(c_in[:, step] * noisy[:, step], history, by_step[:, step])
                predicted = c_skip[:, step] * noisy[:, step] + c_out[:, step] * output
                frames[step + steps] = torch.where(counted[:, step], predicted, frames[step + steps])
        histories = torch.stack(frames, dim=1).unfold(1, steps, 1).transpose(2, 3)
        output = network((c_in * noisy).flatten(0, 1), histories.flatten(0, 1), modulations).view_as(targets)
        wanted = (targets - c_skip * noisy) / c_out
        learned = counted.expand_as(targets) if self.varying is None else counted & self.varying
        errors = ((output - wanted).square() * learned).sum(dim=(0, 2))
        return (errors / learned.sum(dim=(0, 2)).clamp(min=1)).mean()
