"""AdamW and Adam one parameter after the other, and the bound on the gradient norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dima.config import AdamWConfig, BehaviorConfig


class LoopOptimizer:
    """Steps of an optimiser of torch in its plain form.

    Args:
        optimizer: with `foreach` and `fused` off.
        gradient_clip: bound on the norm of all gradients together.
        warmup_updates: the learning rate grows linearly from 0 over this many updates.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, gradient_clip: float, warmup_updates: int = 0
    ) -> None:
        self.optimizer = optimizer
        self._parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._gradient_clip = gradient_clip
        self._learning_rates = [group["lr"] for group in optimizer.param_groups]
        self._warmup_updates = warmup_updates
        self._updates = 0

    def step(self, loss: Float[Tensor, ""]) -> None:
        """One step down the clipped gradient of `loss`."""
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()
        clip_gradients(self._parameters, self._gradient_clip)
        warmed = min(1.0, self._updates / self._warmup_updates) if self._warmup_updates else 1.0
        for group, learning_rate in zip(self.optimizer.param_groups, self._learning_rates, strict=True):
            group["lr"] = warmed * learning_rate
        self.optimizer.step()
        self._updates += 1


def clip_gradients(parameters: Sequence[nn.Parameter], bound: float) -> None:
    """g <- g min(1, bound / |g|), |g| the norm over all parameters."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    scale = (bound / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale)


def model_optimizer(module: nn.Module, config: AdamWConfig, warmup_updates: int = 0) -> LoopOptimizer:
    """AdamW; all parameters decay, or weights of linear and convolution layers alone."""
    layers = [
        layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv1d | nn.ConvTranspose1d)
    ]
    decayed = list(module.parameters()) if config.decayed == "all" else [layer.weight for layer in layers]
    rest = [
        parameter for parameter in module.parameters() if all(parameter is not weight for weight in decayed)
    ]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, foreach=False, fused=False)
    return LoopOptimizer(optimizer, config.gradient_clip, warmup_updates)


def behavior_optimizer(network: nn.Module, learning_rate: float, config: BehaviorConfig) -> LoopOptimizer:
    """Adam without decay."""
    optimizer = torch.optim.Adam(
        network.parameters(), lr=learning_rate, eps=config.adam_epsilon, foreach=False, fused=False
    )
    return LoopOptimizer(optimizer, config.gradient_clip)
