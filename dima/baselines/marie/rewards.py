"""Rewards as a distribution over bins of their symlog (HL-Gauss: Imani and White 2018).

See docs/baselines.md#marie-rewards.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dima.config import RewardBinsConfig


def symlog(values: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """sign(x) log(1 + |x|)."""
    return values.sign() * values.abs().log1p()


def symexp(values: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """sign(x) (exp|x| - 1), the inverse of `symlog`."""
    return values.sign() * values.abs().expm1()


class RewardBins(nn.Module):
    """Uniform bins over symlog rewards; a target is a normal distribution's share in each of them."""

    borders: Tensor

    def __init__(self, config: RewardBinsConfig) -> None:
        super().__init__()
        self.bound = config.bound
        self.deviation = config.sigma * 2 * config.bound / config.count
        self.register_buffer(
            "borders", torch.linspace(-config.bound, config.bound, config.count + 1), persistent=False
        )

    def target(self, reward: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch bins"]:
        """Probabilities of the bins, which sum to 1; rewards beyond the bins count as on their border."""
        mean = symlog(reward).clamp(-self.bound, self.bound)
        cumulative = torch.special.ndtr((self.borders - mean[..., None]) / self.deviation)
        return cumulative.diff(dim=-1) / (cumulative[..., -1:] - cumulative[..., :1])

    def loss(
        self, logits: Float[Tensor, "*batch bins"], reward: Float[Tensor, "*batch"]
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy with the targets."""
        return -(self.target(reward) * logits.log_softmax(dim=-1)).sum(dim=-1).mean()

    def expectation(self, logits: Float[Tensor, "*batch bins"]) -> Float[Tensor, "*batch"]:
        """symexp of the expected symlog reward."""
        centres = (self.borders[1:] + self.borders[:-1]) / 2
        return symexp((logits.softmax(dim=-1) * centres).sum(dim=-1))
