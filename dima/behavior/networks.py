"""Shared actor, centralised critic and running normalisation (docs/method.md#actor-and-critic)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

MAXIMUM_STD = 0.5
INITIAL_STD_LOGIT = 1.0
MEAN_GAIN = 0.01


def _trunk(inputs: int, hidden: Sequence[int], *, layer_norm: bool = True) -> nn.Sequential:
    """LayerNorm, then [Linear, ReLU, LayerNorm] for each hidden size, orthogonal with gain sqrt 2."""
    layers: list[nn.Module] = [nn.LayerNorm(inputs)] if layer_norm else []
    for before, after in itertools.pairwise([inputs, *hidden]):
        layers += [orthogonal(nn.Linear(before, after), math.sqrt(2)), nn.ReLU()]
        layers += [nn.LayerNorm(after)] if layer_norm else []
    return nn.Sequential(*layers)


def orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    """The layer with orthogonal weights of `gain` and zero biases."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class Actor(nn.Module):
    """Diagonal Gaussian policy, one for all agents; the observation holds the agent's one-hot id.

    The standard deviation is 0.5 sigmoid(l), one learned l for each action dimension, at first 1 (a deviation
    of 0.3655). Actions are neither squashed nor clipped: the environments clip. MAMBA has the same head on
    its features, without LayerNorm (`layer_norm`).
    """

    def __init__(
        self, observation_dim: int, action_dim: int, hidden: Sequence[int], *, layer_norm: bool = True
    ) -> None:
        super().__init__()
        self.trunk = _trunk(observation_dim, hidden, layer_norm=layer_norm)
        self.mean = orthogonal(nn.Linear(hidden[-1], action_dim), MEAN_GAIN)
        self.std_logit = nn.Parameter(torch.full((action_dim,), INITIAL_STD_LOGIT))

    def forward(self, observations: Float[Tensor, "*batch observation"]) -> torch.distributions.Normal:
        """The distribution of the action."""
        mean = self.mean(self.trunk(observations))
        return torch.distributions.Normal(
            mean, (MAXIMUM_STD * self.std_logit.sigmoid()).expand_as(mean), validate_args=False
        )

    def sample(
        self, observations: Float[Tensor, "*batch observation"], generator: torch.Generator
    ) -> Float[Tensor, "*batch action"]:
        """A sample of the action."""
        policy = self(observations)
        noise = torch.randn(policy.mean.shape, generator=generator, device=policy.mean.device)
        return policy.mean + policy.stddev * noise


class MeanPolicy:
    """The deterministic policy in numpy: the mean action of an actor, or what ends in one, on the CPU."""

    def __init__(self, actor: nn.Module) -> None:
        self._actor = actor

    @torch.no_grad()
    def __call__(
        self, observations: Float[np.ndarray, "batch agents observation"]
    ) -> Float[np.ndarray, "batch agents action"]:
        return self._actor(torch.from_numpy(observations)).mean.numpy()


class SampledPolicy:
    """The stochastic policy in numpy of an actor, or what ends in one, on the CPU.

    Actions are the mean plus the deviation times given noise.
    """

    def __init__(self, actor: nn.Module) -> None:
        self._actor = actor

    @torch.no_grad()
    def __call__(
        self,
        observations: Float[np.ndarray, "batch agents observation"],
        noise: Float[np.ndarray, "batch agents action"],
    ) -> Float[np.ndarray, "batch agents action"]:
        policy = self._actor(torch.from_numpy(observations))
        return policy.mean.numpy() + policy.stddev.numpy() * noise


class DirectPolicy:
    """`SampledPolicy` with the same bits in a third of the time: layers' kernels without their modules.

    The actor's weights may change in place; its deviations are those at construction.
    """

    def __init__(self, actor: Actor) -> None:
        self._calls = [_kernel_call(layer) for layer in (*actor.trunk, actor.mean)]
        self._deviation = (MAXIMUM_STD * actor.std_logit.detach().sigmoid()).numpy()

    def __call__(
        self,
        observations: Float[np.ndarray, "batch agents observation"],
        noise: Float[np.ndarray, "batch agents action"],
    ) -> Float[np.ndarray, "batch agents action"]:
        values = torch.from_numpy(observations)
        for call in self._calls:
            values = call(values)
        return values.numpy() + self._deviation * noise


def _kernel_call(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """The forward pass of one of an actor's layers, without gradients."""
    if isinstance(layer, nn.Linear):
        return partial(functional.linear, weight=layer.weight.detach(), bias=layer.bias.detach())
    if isinstance(layer, nn.LayerNorm):
        shape, weight, bias, epsilon = (
            layer.normalized_shape,
            layer.weight.detach(),
            layer.bias.detach(),
            layer.eps,
        )
        return lambda values: torch.layer_norm(values, shape, weight, bias, epsilon)
    return torch.relu_


class Critic(nn.Module):
    """One value for each global state, shared by all agents, in the normalised units of its targets."""

    def __init__(self, inputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.trunk = _trunk(inputs, hidden)
        self.value = orthogonal(nn.Linear(hidden[-1], 1), 1.0)

    def forward(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch"]:
        """The value."""
        return self.value(self.trunk(inputs))[..., 0]


class ValueNormalizer(nn.Module):
    """Debiased exponential mean and mean square of the returns; variance >= 0.01 (HARL's ValueNorm)."""

    mean: Tensor
    mean_square: Tensor
    weight: Tensor

    def __init__(self, decay: float = 0.99999, minimum_variance: float = 1e-2) -> None:
        super().__init__()
        self.decay = decay
        self.minimum_variance = minimum_variance
        for name in ("mean", "mean_square", "weight"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def update(self, returns: Float[Tensor, "*batch"]) -> None:
        """Add a batch of returns to the statistics."""
        batch = returns.double()
        mean, mean_square = batch.mean(), batch.square().mean()
        for statistic, value in (
            (self.mean, mean),
            (self.mean_square, mean_square),
            (self.weight, torch.ones_like(mean)),
        ):
            statistic.mul_(self.decay).add_((1 - self.decay) * value)

    def normalize(self, returns: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Returns in the critic's units."""
        mean, std = self._moments()
        return (returns - mean) / std

    def denormalize(self, values: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The critic's values in units of return."""
        mean, std = self._moments()
        return values * std + mean

    def _moments(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        weight = self.weight.clamp(min=1e-5)
        mean = self.mean / weight
        variance = (self.mean_square / weight - mean.square()).clamp(min=self.minimum_variance)
        return mean.float(), variance.sqrt().float()
