"""Categorical latent states: sampling, the gradient through it, and the balanced divergence."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from dima.baselines.mamba.latent import LatentState, balanced_divergence, divergence, sampled


def test_samples_are_one_hot_with_the_probabilities_of_the_logits():
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    drawn = sampled(probabilities.log().expand(20000, 2, 3), torch.Generator().manual_seed(0))
    assert drawn.shape == (20000, 6)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(drawn.unflatten(-1, (2, 3)).mean(0), probabilities, atol=0.015, rtol=0)
    assert (drawn.unflatten(-1, (2, 3)).sum(-1) == 1).all()


def test_without_a_generator_the_most_likely_class_is_taken():
    logits = torch.tensor([[0.1, 2.0, -1.0], [0.0, -3.0, 0.2]])
    assert sampled(logits, None).tolist() == [0, 1, 0, 0, 0, 1]


def test_the_gradient_is_that_of_the_probabilities():
    logits = torch.randn(
        4, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).requires_grad_()
    weights = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (sampled(logits, torch.Generator().manual_seed(2)) * weights).sum().backward()
    straight_through = logits.grad
    logits.grad = None
    (logits.softmax(-1).flatten(-2) * weights).sum().backward()
    torch.testing.assert_close(straight_through, logits.grad)
    assert straight_through.abs().max() > 0.01


def test_the_divergence_is_the_mean_over_the_categoricals():
    first, second = (torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    torch.testing.assert_close(
        divergence(first, second),
        kl_divergence(Categorical(logits=first), Categorical(logits=second)).mean(-1),
    )


def test_a_divergence_by_hand():
    """0.75 log(0.75 / 0.5) + 0.25 log(0.25 / 0.5) for one of two categoricals, 0 for the other: half of
    it."""
    first = torch.tensor([[0.75, 0.25], [0.3, 0.7]]).log()
    second = torch.tensor([[0.5, 0.5], [0.3, 0.7]]).log()
    assert divergence(first, second).item() == pytest.approx(0.130812 / 2, abs=1e-6)


def test_the_balance_moves_the_prior_four_times_as_much_as_the_posterior():
    posterior, prior = (
        torch.randn(2, 3, generator=torch.Generator().manual_seed(seed)).requires_grad_() for seed in (0, 1)
    )
    balanced = balanced_divergence(posterior, prior, 0.8)
    assert torch.equal(balanced.detach(), divergence(posterior, prior).detach()) or torch.isclose(
        balanced, divergence(posterior, prior)
    )
    balanced.backward()
    found = posterior.grad.clone(), prior.grad.clone()
    posterior.grad = prior.grad = None
    divergence(posterior, prior).backward()
    torch.testing.assert_close(found, (0.2 * posterior.grad, 0.8 * prior.grad))


def test_only_worlds_where_an_episode_begins_forget():
    state = LatentState(torch.ones(2, 3, 4), torch.ones(2, 3, 5))
    forgotten = state.forgotten(torch.tensor([True, False]))
    assert forgotten.feature.sum(dim=(1, 2)).tolist() == [0, 27]
