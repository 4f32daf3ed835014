"""The quantiser against eq. 22, and that the decoder learns what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vector_quantize_pytorch import FSQ

from dima.world_model.optimizer import ModelOptimizer
from dima.world_model.state_decoder import StateDecoder


def test_codes_of_an_odd_level_are_eq_22(paper):
    """f(z) = floor(L/2) tanh(z), rounded; the library divides by floor(L/2) and widens the range by 0.1 % so
    that the ends are reached."""
    values = torch.linspace(-4, 4, 1001)
    codes, _ = FSQ(levels=[5])(values.view(1, -1, 1))
    expected = np.round(2 * np.tanh(values.numpy()) * 1.001) / 2
    np.testing.assert_allclose(codes.flatten().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("level", "low", "high"), [(8, -4, 3), (6, -3, 2), (5, -2, 2)])
def test_every_level_has_as_many_codes_as_it_says(level, low, high):
    codes, _ = FSQ(levels=[level])(torch.linspace(-6, 6, 4001).view(1, -1, 1))
    np.testing.assert_allclose(np.unique(codes.numpy() * (level // 2)), np.arange(low, high + 1), atol=1e-5)


def test_a_state_is_coded_by_twelve_tokens_of_240_values(paper):
    model = StateDecoder(17, 2, 19, paper.parameters.state_decoder)
    codes = model.encoder(torch.randn(3, 17)).view(-1, *model.code_shape)
    quantized, indices = model.quantizer(codes)
    assert quantized.shape == (3, 12, 3)
    assert indices.shape == (3, 12)
    assert indices.max() < 8 * 6 * 5


def test_gradients_pass_the_rounding_straight_through():
    values = torch.tensor([[[0.3, -0.2, 0.1]]], requires_grad=True)
    FSQ(levels=[5, 5, 5])(values)[0].sum().backward()
    assert values.grad is not None
    half = 2 * 1.001
    np.testing.assert_allclose(
        values.grad.flatten(), half * (1 - np.tanh([0.3, -0.2, 0.1]) ** 2) / 2, rtol=1e-4
    )


@pytest.mark.parametrize("changes", [{}, {"loss": "l2"}, {"quantizer": "vq"}])
def test_it_learns_to_copy_the_state(tiny_cell, changes):
    """Observations that are the state itself: the error falls well below that of the best constant."""
    torch.manual_seed(0)
    config = tiny_cell.parameters.state_decoder.model_copy(update={"hidden": 64, **changes})
    model = StateDecoder(3, 1, 3, config).train()
    optimizer = ModelOptimizer(model, config.optimizer.model_copy(update={"learning_rate": 3e-3}))
    for _ in range(300):
        states = torch.rand(128, 3) * 2 - 1
        optimizer.step(model.loss(states, states[:, None]))
    states = torch.rand(500, 3) * 2 - 1
    error = (model.eval()(states)[:, 0] - states).abs().mean().item()
    assert error < 0.1  # a constant 0 has 0.5


@pytest.mark.parametrize(("loss", "expected"), [("l1", 3.0), ("l2", 9.0)])
def test_the_loss_is_absolute_or_squared(tiny_cell, loss, expected):
    """A decoder that says 0 where 3 is seen."""
    model = StateDecoder(4, 2, 5, tiny_cell.parameters.state_decoder.model_copy(update={"loss": loss}))
    for parameter in model.decoder[-1].parameters():
        torch.nn.init.zeros_(parameter)
    assert model.loss(torch.randn(7, 4), torch.full((7, 2, 5), 3.0)).item() == pytest.approx(expected)


def test_the_other_quantizer_is_the_releases(paper):
    """12 tokens of 64 numbers, 256 codes that follow by 0.005 a batch, 10 times the distance from the code in
    the loss."""
    torch.manual_seed(0)
    model = StateDecoder(
        17, 2, 19, paper.parameters.state_decoder.model_copy(update={"quantizer": "vq", "hidden": 256})
    ).train()
    assert model.code_shape == (12, 64)
    assert model.quantizer._codebook.embed.shape == (1, 256, 64)
    assert model.quantizer._codebook.decay == 0.995
    for parameter in model.decoder[-1].parameters():
        torch.nn.init.zeros_(parameter)
    states = torch.randn(300, 17)
    codes = model.encoder(states).view(-1, *model.code_shape)
    nearest = torch.cdist(codes.flatten(0, 1), model.quantizer._codebook.embed[0]).argmin(dim=1)
    commitment = (codes.flatten(0, 1) - model.quantizer._codebook.embed[0][nearest]).square().mean().item()
    assert model.loss(states, torch.full((300, 2, 19), 3.0)).item() == pytest.approx(
        3.0 + 10 * commitment, rel=1e-4
    )


@pytest.mark.parametrize("rotation_trick", [False, True])
def test_gradients_pass_the_codebook_straight_through_unless_they_are_turned(tiny_cell, rotation_trick):
    """Straight through, the gradient of what is decoded is that of the codes it was made from, whatever code
    was nearest."""
    torch.manual_seed(0)
    config = tiny_cell.parameters.state_decoder.model_copy(
        update={"quantizer": "vq", "rotation_trick": rotation_trick}
    )
    quantizer = StateDecoder(4, 2, 5, config).train().quantizer
    codes = torch.randn(3, 12, 64, requires_grad=True)
    quantized, _, commitment = quantizer(codes)
    weights = torch.randn_like(quantized)
    ((quantized * weights).sum() + 0.0 * commitment.sum()).backward()
    assert codes.grad is not None
    assert torch.allclose(codes.grad, weights) != rotation_trick


def test_it_has_three_layers_of_512_each_way(paper):
    model = StateDecoder(17, 2, 19, paper.parameters.state_decoder)
    for part, sizes in (
        (model.encoder, [(17, 512), (512, 512), (512, 36)]),
        (model.decoder, [(36, 512), (512, 512), (512, 38)]),
    ):
        assert [(layer.in_features, layer.out_features) for layer in part[::2]] == sizes
        assert {type(layer) for layer in part[1::2]} == {torch.nn.GELU}
