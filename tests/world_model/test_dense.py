"""Convolutions as matrix products: each entry in its place, the bias added once, and every weight's gradient
from all its places."""

from __future__ import annotations

import pytest
import torch

from dima.world_model.dense import DenseConvolutions, Product

BATCH, IN, OUT = 3, 8, 12
LAYERS = {
    "same length": lambda: torch.nn.Conv1d(IN, OUT, 3, padding=1),
    "short cut": lambda: torch.nn.Conv1d(IN, OUT, 1),
    "half the length": lambda: torch.nn.Conv1d(IN, OUT, 3, stride=2, padding=1),
    "twice the length": lambda: torch.nn.ConvTranspose1d(IN, OUT, 4, stride=2, padding=1),
}


def ordered(signal, width):
    """[batch, channels, time] as vectors in the order of the features."""
    return signal.unflatten(1, (-1, width)).transpose(2, 3).flatten(1)


def signals(length, count=1):
    torch.manual_seed(0)
    return [torch.randn(BATCH, IN, length, dtype=torch.float64, requires_grad=True) for _ in range(count)]


@pytest.mark.parametrize("length", [1, 2, 4, 6])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(("width_in", "width_out"), [(4, 4), (8, 12), (2, 3)])
def test_a_product_is_the_convolution(kind, length, width_in, width_out):
    """Outputs, and gradients of input, weight and bias."""
    (signal,) = signals(length)
    layer = LAYERS[kind]().double()
    ((matrix, bias),) = DenseConvolutions([Product((layer,), length, width_in)], width_out)()
    found, expected = (
        torch.nn.functional.linear(ordered(signal, width_in), matrix, bias),
        ordered(layer(signal), width_out),
    )
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(expected)
    gradients = (
        torch.autograd.grad((outputs * weights).sum(), [signal, *layer.parameters()])
        for outputs in (found, expected)
    )
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_two_convolutions_of_two_inputs_are_one_product():
    """Their outputs and biases are added."""
    signal, other = signals(4, 2)
    first, second = (LAYERS[kind]().double() for kind in ("same length", "short cut"))
    products = DenseConvolutions([Product((first, second), 4, 4), Product((first,), 2, 4)], 4)()
    assert [tuple(matrix.shape) for matrix, _ in products] == [(4 * OUT, 2 * 4 * IN), (2 * OUT, 2 * IN)]
    found = torch.nn.functional.linear(
        torch.cat([ordered(signal, 4), ordered(other, 4)], dim=1), *products[0]
    )
    torch.testing.assert_close(found, ordered(first(signal) + second(other), 4))


def test_a_matrix_by_hand():
    """One channel, taps 1, 2, 3 over four times; halving keeps every other row; growing has taps 1 to 4 in
    columns two apart."""
    for layer, expected in (
        (torch.nn.Conv1d(1, 1, 3, padding=1), [[2, 3, 0, 0], [1, 2, 3, 0], [0, 1, 2, 3], [0, 0, 1, 2]]),
        (torch.nn.Conv1d(1, 1, 3, stride=2, padding=1), [[2, 3, 0, 0], [0, 1, 2, 3]]),
        (torch.nn.ConvTranspose1d(1, 1, 4, stride=2, padding=1), [[2, 0], [3, 1], [4, 2], [0, 3]]),
    ):
        layer.weight.data = torch.arange(1.0, 1 + layer.weight.numel()).view_as(layer.weight)
        ((matrix, bias),) = DenseConvolutions([Product((layer,), len(expected[0]), 1)], 1)()
        assert matrix.tolist() == expected
        torch.testing.assert_close(bias, layer.bias.expand(len(expected)))


def test_parameters_and_checkpoints_know_nothing_of_it():
    layer = LAYERS["same length"]()
    dense = DenseConvolutions([Product((layer,), 4, 4)], 4)
    assert not list(dense.parameters())
    assert not dense.state_dict()
