"""Clipping, repeated steps and the state of a part's optimiser."""

from __future__ import annotations

import pytest
import torch

from dima.config import OptimizerConfig
from dima.world_model.optimizer import ModelOptimizer

CONFIG = OptimizerConfig(learning_rate=0.1, weight_decay=0.0, gradient_clip=2.0)


def test_the_gradient_norm_is_bounded():
    layer = torch.nn.Linear(2, 1, bias=False)
    ModelOptimizer(layer, CONFIG).step((layer.weight * torch.tensor([[30.0, 40.0]])).sum())
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[1.2, 1.6]]))


def test_a_batch_may_be_stepped_on_twice():
    """Adam's first steps move by the learning rate: once or twice."""
    moved = []
    for repeats in (1, 2):
        layer = torch.nn.Linear(1, 1, bias=False)
        before = layer.weight.item()
        ModelOptimizer(layer, CONFIG).step(layer.weight.sum(), repeats)
        moved.append(before - layer.weight.item())
    assert moved == pytest.approx([0.1, 0.2], rel=1e-4)
