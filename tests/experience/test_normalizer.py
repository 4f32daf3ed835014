"""Running moments against numpy on everything seen."""

from __future__ import annotations

import numpy as np
import torch

from dima.experience.normalizer import RunningNormalizer


def test_moments_of_batches_are_moments_of_all():
    generator = np.random.default_rng(0)
    batches = [generator.normal(3, 5, (size, 4)).astype(np.float32) for size in (7, 1, 200)]
    normalizer = RunningNormalizer(4)
    for batch in batches:
        normalizer.update(torch.from_numpy(batch))
    everything = np.concatenate(batches).astype(np.float64)
    # the count starts at 1e-4 with mean 0 and variance 1, which leaves a trace of relative size 1e-4 / 208
    np.testing.assert_allclose(normalizer.mean, everything.mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(normalizer.variance, everything.var(0), rtol=1e-5)


def test_scores_and_back():
    normalizer = RunningNormalizer(2)
    states = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    normalizer.update(states)
    torch.testing.assert_close(
        normalizer(states), torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(normalizer.inverse(normalizer(states)), states)


def test_it_starts_as_the_identity():
    torch.testing.assert_close(RunningNormalizer(3)(torch.ones(3)), torch.ones(3))


def test_the_first_state_meets_a_count_of_a_ten_thousandth():
    """Mean 0 and variance 1 of weight 1e-4 and one state of 2."""
    normalizer = RunningNormalizer(1)
    normalizer.update(torch.tensor([[2.0]]))
    np.testing.assert_allclose(normalizer.mean, 2 / 1.0001, rtol=1e-12)
    np.testing.assert_allclose(normalizer.variance, (1e-4 + 4 * 1e-4 / 1.0001) / 1.0001, rtol=1e-9)


def test_a_state_that_never_changes_is_divided_by_a_ten_thousandth():
    normalizer = RunningNormalizer(1)
    normalizer.variance.zero_()
    assert normalizer(torch.tensor([[3.0]])).item() == np.float32(3e4)


def test_what_varies_is_known_whatever_the_constant_and_the_batches():
    """Columns: constants of three sizes, a deviation below and one above the 1e-4 of the epsilon, and a
    single change at the end."""
    states = torch.zeros(6000, 6, dtype=torch.float64)
    states[:, 1], states[:, 2] = 1.0, -300.0
    states[:, 3:5] = torch.tensor([5e-5, 2e-4], dtype=torch.float64) * torch.tensor(
        [[-1.0, -1.0], [1.0, 1.0]]
    ).repeat(3000, 1)
    normalizer = RunningNormalizer(6)
    assert not normalizer.varies().any()
    normalizer.update(states[:1])
    assert not normalizer.varies().any()
    for batch in states[1:].split(999):
        normalizer.update(batch)
    assert normalizer.varies().tolist() == [False, False, False, False, True, False]
    normalizer.update(torch.tensor([[0.0, 1.0, -300.0, 0.0, 0.0, 1.0]]))
    assert normalizer.varies().tolist() == [False, False, False, False, True, True]
