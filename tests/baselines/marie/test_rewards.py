"""HL-Gauss bins on symlog rewards."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import norm

from dima.baselines.marie.rewards import RewardBins, symexp, symlog


@pytest.fixture
def bins(paper_marie):
    return RewardBins(paper_marie.world_model.reward_bins).double()


def test_symexp_undoes_symlog():
    values = torch.tensor([-1000.0, -1.5, -1e-4, 0.0, 0.3, 20.0], dtype=torch.float64)
    torch.testing.assert_close(symexp(symlog(values)), values, rtol=1e-12, atol=1e-15)
    assert symlog(torch.tensor(math.e - 1)).item() == pytest.approx(1.0)
    assert symlog(torch.tensor(1 - math.e)).item() == pytest.approx(-1.0)


def test_the_releases_bins(bins):
    """128 bins from -3 to 3, a deviation of 0.75 bins."""
    assert len(bins.borders) == 129
    assert (bins.borders[0], bins.borders[-1]) == (-3, 3)
    assert bins.deviation == pytest.approx(0.75 * 6 / 128)


@pytest.mark.parametrize("reward", [-50.0, -3.2, 0.0, 0.01, 1.7, 18.0, 1e6])
def test_targets_sum_to_one(bins, reward):
    target = bins.target(torch.tensor([reward], dtype=torch.float64))
    assert target.sum().item() == pytest.approx(1.0, abs=1e-12)
    assert target.min() >= 0


def test_a_target_is_the_normal_distributions_share_of_each_bin(bins):
    mean = math.log1p(1.7)
    expected = norm.cdf(bins.borders[1:].numpy(), mean, bins.deviation) - norm.cdf(
        bins.borders[:-1].numpy(), mean, bins.deviation
    )
    torch.testing.assert_close(
        bins.target(torch.tensor(1.7, dtype=torch.float64)), torch.from_numpy(expected), rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize("reward", [-15.0, -3.2, 0.0, 0.01, 1.7, 15.0])
def test_the_expectation_of_a_target_is_its_reward(bins, reward):
    """To the width of the binning: the mean of a binned normal distribution is off by far less than a bin."""
    logits = bins.target(torch.tensor(reward, dtype=torch.float64)).clamp(min=1e-300).log()
    assert symlog(bins.expectation(logits)).item() == pytest.approx(
        symlog(torch.tensor(reward)).item(), abs=1e-3 * 6 / 128
    )


def test_rewards_beyond_the_bins_count_as_on_their_border(bins):
    found = bins.expectation(bins.target(torch.tensor([-1e9, 1e9], dtype=torch.float64)).log())
    border = math.expm1(3)
    assert found.tolist() == pytest.approx([-border, border], rel=0.05)


def test_the_loss_is_least_at_the_target(bins):
    reward = torch.tensor([0.4, -2.0], dtype=torch.float64)
    target = bins.target(reward)
    best = bins.loss(target.clamp(min=1e-30).log(), reward)
    assert best.item() == pytest.approx(
        -(target * target.clamp(min=1e-30).log()).sum(-1).mean().item(), abs=1e-9
    )
    assert bins.loss(torch.zeros(2, 128, dtype=torch.float64), reward).item() == pytest.approx(math.log(128))
