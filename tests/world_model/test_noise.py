"""Noise levels and preconditioning against closed forms and the numbers of the specification."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch

from dima.world_model.noise import precondition, sampling_noise_levels, training_noise_levels


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (3, [5, 0.2831, 0.002, 0]),
        (4, [5, 0.8447, 0.0774, 0.002, 0]),
        (6, [5, 1.8176, 0.5567, 0.1339, 0.0223, 0.002, 0]),
    ],
)
def test_sampling_noise_levels_are_those_of_the_published_schedule(paper, steps, expected):
    np.testing.assert_allclose(
        sampling_noise_levels(steps, paper.parameters.sampler).numpy(), expected, atol=5e-5
    )


def test_preconditioning_by_hand():
    # sigma = 1.2, data 0.5, no offset: norm = 1.3
    c = precondition(torch.tensor([1.2], dtype=torch.float64), 0.5, 0.0)
    assert c.c_skip.item() == pytest.approx(0.25 / 1.69)
    assert c.c_out.item() == pytest.approx(1.2 * 0.5 / 1.3)
    assert c.c_in.item() == pytest.approx(1 / 1.3)
    assert c.c_noise.item() == pytest.approx(math.log(1.2) / 4)


def test_offset_noise_enters_as_a_second_variance():
    with_offset = precondition(torch.tensor([0.4], dtype=torch.float64), 0.5, 0.3)
    plain = precondition(torch.tensor([0.5], dtype=torch.float64), 0.5, 0.0)
    for ours, theirs in zip(with_offset, plain, strict=True):
        assert ours.item() == pytest.approx(theirs.item())


def test_network_input_and_target_have_unit_variance():
    """What the EDM coefficients are for: Var(c_in x) = Var((u - c_skip x) / c_out) = 1 for data of variance
    sigma_data^2."""
    generator = torch.Generator().manual_seed(0)
    clean = 0.5 * torch.randn(200_000, generator=generator, dtype=torch.float64)
    for sigma, offset in [(0.002, 0.3), (0.3, 0.0), (5.0, 0.3)]:
        noisy = clean + math.hypot(sigma, offset) * torch.randn(
            200_000, generator=generator, dtype=torch.float64
        )
        c = precondition(torch.tensor([sigma], dtype=torch.float64), 0.5, offset)
        assert (c.c_in * noisy).var().item() == pytest.approx(1, abs=0.02)
        assert ((clean - c.c_skip * noisy) / c.c_out).var().item() == pytest.approx(1, abs=0.02)


def test_training_noise_is_a_clipped_log_normal(paper):
    sigma = training_noise_levels(
        (100_000,), paper.parameters.denoiser, torch.Generator().manual_seed(0), torch.device("cpu")
    )
    statistic = scipy.stats.kstest(sigma.log().double().numpy(), scipy.stats.norm(-0.4, 1.2).cdf).statistic
    assert statistic < 0.01
    assert sigma.min() >= 0.002
    assert sigma.max() <= 20
