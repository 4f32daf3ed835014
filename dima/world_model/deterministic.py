"""A deterministic model in place of the denoiser (X2 of docs/method.md#variants)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dima.config import Compute, DenoiserConfig
from dima.experience.transitions import Windows
from dima.world_model.action_encoders import make_action_encoder


class DeterministicModel(nn.Module):
    """u' = u + MLP(past states, condition of all agents' actions) in scaled units, with squared error.

    It replaces `Denoiser`: the same history, action encoder and sub-steps on its own predictions, without
    noise and order.

    Args:
        state_dim: D.
        agents: N.
        action_dim: A.
        config: action encoder, `deterministic_hidden` and training are used; `conditioning` is ignored, as
            all actions are seen.
        compute: preset of computing.
    """

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
        self.action_encoder = make_action_encoder(agents, action_dim, config, compute)
        inputs, hidden = (
            config.conditioning_states * state_dim + config.condition_dim,
            config.deterministic_hidden,
        )
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, state_dim),
        )
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type] - a Linear

    def compile_network(self) -> None:
        """Compile the layers for each shape that occurs."""
        self.layers.compile(dynamic=False)

    def forward(
        self, history: Float[Tensor, "batch steps state"], actions: Float[Tensor, "batch steps agents action"]
    ) -> Float[Tensor, "batch state"]:
        """The next state."""
        revealed = torch.ones(len(actions), 1, self.agents, dtype=torch.bool, device=actions.device)
        condition = self.action_encoder(actions, revealed)[:, 0]
        return history[:, -1] + self.layers(torch.cat([history.flatten(1), condition], dim=-1))

    def loss(
        self, windows: Windows, normalized: tuple[Tensor, Tensor], _generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Mean squared error over the sub-steps in units of the data's variance.

        Later sub-steps build on predictions of earlier ones.

        Args:
            windows: n + S - 1 transitions a row, S the number of sub-steps.
            normalized: z-scores of `windows.state` and `windows.next_state`, [batch, n + S - 1, state] each.
        """
        config, steps = self.config, self.config.conditioning_states
        frames = list((config.sigma_data * normalized[0] * windows.valid[..., None]).unbind(1))
        targets = config.sigma_data * normalized[1][:, steps - 1 :]
        losses = []
        for step in range(config.autoregressive_steps):
            counted = windows.valid[:, steps - 1 + step, None]
            predicted = self(
                torch.stack(frames[step : step + steps], dim=1), windows.action[:, step : step + steps]
            )
            error = ((predicted - targets[:, step]) / config.sigma_data).square() * counted
            losses.append(error.sum() / (counted.sum() * predicted.shape[1]).clamp(min=1))
            if step + 1 < config.autoregressive_steps:
                frames[step + steps] = torch.where(counted, predicted.detach(), frames[step + steps])
        return torch.stack(losses).mean()


class DirectSampler:
    """The sampler of a deterministic model: nothing is drawn.

    Args:
        model: gives the next state at once.
        device: of the empty draws.
    """

    def __init__(self, model: DeterministicModel, device: torch.device) -> None:
        self._model = model
        self._device = device

    def draw_order(self, batch: int, _generator: torch.Generator) -> Int[Tensor, "batch steps"]:
        """An empty order."""
        return torch.zeros(batch, 0, dtype=torch.long, device=self._device)

    def draw_noise(
        self, batch: int, state_dim: int, _generator: torch.Generator
    ) -> Float[Tensor, "batch state"]:
        """No noise: zeros."""
        return torch.zeros(batch, state_dim, device=self._device)

    def prepared(self) -> None:
        """Nothing depends on the weights alone."""

    def sample(
        self,
        history: Float[Tensor, "batch steps state"],
        actions: Float[Tensor, "batch steps agents action"],
        _order: Int[Tensor, "batch denoising"],
        _noise: Float[Tensor, "batch state"],
        _network: object = None,
    ) -> Float[Tensor, "batch state"]:
        """The next state in scaled units."""
        return self._model(history, actions)
