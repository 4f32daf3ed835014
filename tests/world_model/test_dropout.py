"""Dropout from 16 random bits a number: how often, in which order, and when not."""

from __future__ import annotations

import pytest
import torch

from dima.world_model.dropout import Dropout, dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.97])
def test_what_is_kept_grows_so_that_the_mean_stays(probability):
    """Of a million: the share that is dropped within four deviations, all others the same factor, whatever
    their number's sign."""
    torch.manual_seed(0)
    found = dropout(torch.ones(1000, 1000), probability, training=True)
    share = (found == 0).double().mean().item()
    assert share == pytest.approx(probability, abs=4 * (probability * (1 - probability) / 1e6) ** 0.5)
    assert found[found != 0].unique().tolist() == pytest.approx([1 / (1 - probability)], rel=1e-3)


def test_neighbours_are_dropped_independently():
    """Four come from one draw: no two of eight in a row agree more often than chance, 0.82 for a probability
    of 0.1."""
    torch.manual_seed(0)
    kept = (dropout(torch.ones(200_000, 8), 0.1, training=True) != 0).double()
    torch.testing.assert_close(kept.T.corrcoef(), torch.eye(8).double(), atol=0.01, rtol=0)


@pytest.mark.parametrize("shape", [(3,), (5, 7), (2, 2, 2)])
def test_the_order_is_that_of_the_shape_whatever_the_memory(shape):
    values = torch.rand(shape, dtype=torch.float64) + 1
    results = []
    for given in (values, values.T.contiguous().T if values.ndim == 2 else values.clone()):
        torch.manual_seed(3)
        results.append(dropout(given, 0.4, training=True))
    assert torch.equal(*results)


def test_the_gradient_is_the_mask():
    values = torch.rand(40, requires_grad=True)
    torch.manual_seed(1)
    found = dropout(values, 0.3, training=True)
    (gradient,) = torch.autograd.grad(found.sum(), values)
    torch.testing.assert_close(gradient * values, found)


@pytest.mark.parametrize(("training", "probability"), [(False, 0.5), (True, 0.0)])
def test_nothing_is_drawn_where_nothing_is_dropped(training, probability):
    before, values = torch.get_rng_state(), torch.rand(5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Dropout(probability).train(training)(values), values)
    assert torch.equal(torch.get_rng_state(), before)


def test_bfloat16_stays_bfloat16():
    assert dropout(torch.ones(9, dtype=torch.bfloat16), 0.5, training=True).dtype == torch.bfloat16
