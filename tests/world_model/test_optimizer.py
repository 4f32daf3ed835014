"""Clipping, repeated steps and the state of a part's optimiser."""

from __future__ import annotations

import pytest
import torch

from dima.config import AdamWConfig, OptimizerConfig
from dima.world_model.optimizer import ModelOptimizer

CONFIG = AdamWConfig(learning_rate=0.1, weight_decay=0.0, decayed="weights", gradient_clip=2.0)


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


@pytest.mark.parametrize(("decayed", "bias"), [("weights", 3.0), ("all", 3.0 * (1 - 0.1 * 0.2))])
def test_decay_is_adamws_and_of_weights_alone_or_of_all(decayed, bias):
    """Without a gradient a weight shrinks by rate times decay, and a bias stays or shrinks alike: decay is no
    part of the gradient."""
    layer = torch.nn.Linear(1, 1)
    for parameter in layer.parameters():
        torch.nn.init.constant_(parameter, 3.0)
    decaying = CONFIG.model_copy(update={"weight_decay": 0.2, "decayed": decayed})
    ModelOptimizer(layer, decaying).step(0.0 * (layer.weight.sum() + layer.bias.sum()))
    assert [parameter.item() for parameter in layer.parameters()] == pytest.approx(
        [3.0 * (1 - 0.1 * 0.2), bias]
    )


def test_without_adamw_the_decay_is_part_of_the_gradient():
    """Adam's first step moves by the learning rate, however small the gradient."""
    layer = torch.nn.Linear(1, 1)
    for parameter in layer.parameters():
        torch.nn.init.constant_(parameter, 3.0)
    ModelOptimizer(layer, OptimizerConfig(learning_rate=0.1, weight_decay=0.2, gradient_clip=2.0)).step(
        0.0 * layer.weight.sum()
    )
    assert layer.weight.item() == pytest.approx(2.9, rel=1e-4)
