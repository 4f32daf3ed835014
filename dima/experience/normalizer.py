"""Running mean and variance of the global state."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

PRIOR_COUNT = 1e-4
EPSILON = 1e-8


class RunningNormalizer(nn.Module):
    """z(s) = (s - mean) / sqrt(variance + 1e-8), with the moments of every state ever collected.

    Chan's parallel update in float64; the count starts at 1e-4 with mean 0 and variance 1. See
    docs/method.md#state-scaling.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(dim, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(PRIOR_COUNT, dtype=torch.float64))

    @torch.no_grad()
    def update(self, states: Float[Tensor, "batch state"]) -> None:
        """Add a batch of states to the moments."""
        batch = states.double()
        batch_variance, batch_mean = torch.var_mean(batch, dim=0, correction=0)
        delta = batch_mean - self.mean
        total = self.count + len(batch)
        summed = (
            self.variance * self.count
            + batch_variance * len(batch)
            + delta.square() * self.count * len(batch) / total
        )
        self.mean += delta * len(batch) / total
        self.variance.copy_(summed / total)
        self.count.copy_(total)

    def varies(self) -> Bool[Tensor, " state"]:
        """Which components have varied by more than the epsilon of the z-scores.

        The prior (PRIOR_COUNT states of mean 0 and variance 1) is removed first: it alone gives a constant
        component some variance.
        """
        states = (self.count - PRIOR_COUNT).clamp(min=1.0)
        prior = PRIOR_COUNT / self.count + self.mean.square() * PRIOR_COUNT / states
        return self.variance - prior > EPSILON

    def forward(self, states: Float[Tensor, "*batch state"]) -> Float[Tensor, "*batch state"]:
        """States in raw units to z-scores, in float32."""
        return (states - self.mean.float()) * self._scale().reciprocal()

    def inverse(self, scores: Float[Tensor, "*batch state"]) -> Float[Tensor, "*batch state"]:
        """z-scores to states in raw units."""
        return scores * self._scale() + self.mean.float()

    def _scale(self) -> Float[Tensor, " state"]:
        return (self.variance + EPSILON).sqrt().float()
