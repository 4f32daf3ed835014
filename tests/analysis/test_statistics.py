"""Statistics against numbers worked out by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from dima.analysis.statistics import bootstrap_interval, interquartile_mean, probability_of_improvement, summarize


def mean_over_seeds(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=-1)


def test_mean_and_both_standard_deviations() -> None:
    statistics = summarize(np.array([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]))
    assert statistics.mean == 5.0
    assert statistics.std_population == 2.0
    assert statistics.std_sample == pytest.approx((32 / 7) ** 0.5)


def test_one_seed_has_neither_sample_deviation_nor_interval() -> None:
    assert summarize(np.array([7.5])) == (7.5, None, 0.0, 7.5, None)


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        ([1.0, 2.0, 3.0, 10.0], 2.5),  # one dropped at each end
        ([10.0, 1.0, 2.0], 13 / 3),  # floor(3/4) = 0 dropped
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0], 3.5),  # two dropped at each end
        ([-50.0, 1.0, 2.0, 6.0, 9.0], 3.0),  # floor(5/4) = 1
    ],
)
def test_interquartile_mean(returns: list[float], expected: float) -> None:
    assert interquartile_mean(np.array(returns)) == pytest.approx(expected)


def test_interval_of_the_mean_of_four_follows_the_binomial() -> None:
    # the mean of a resample of [0, 0, 0, 4] is Binomial(4, 1/4): P(<= 2) = 0.949, P(<= 3) = 0.996, P(0) = 0.316
    assert bootstrap_interval([np.array([0.0, 0.0, 0.0, 4.0])], mean_over_seeds).tolist() == [0.0, 3.0]


def test_interval_agrees_with_all_resamples_of_five() -> None:
    returns = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    exact = np.quantile([np.mean(chosen) for chosen in product(returns, repeat=5)], [0.025, 0.975])
    low, high = bootstrap_interval([returns], mean_over_seeds)
    assert abs(low - exact[0]) <= 0.4
    assert abs(high - exact[1]) <= 0.4


def test_strata_keep_their_number_of_seeds() -> None:
    # resampling the four values together would give means from 1 to 5
    assert bootstrap_interval([np.array([1.0, 1.0]), np.array([5.0, 5.0])], mean_over_seeds).tolist() == [3.0, 3.0]


def test_interval_of_a_curve_is_the_interval_of_each_step() -> None:
    curve = np.array([[0.0, 0.0, 0.0, 4.0], [1.0, 2.0, 3.0, 10.0]])
    together = bootstrap_interval([curve], mean_over_seeds)
    alone = [bootstrap_interval([step], mean_over_seeds) for step in curve]
    assert together.tolist() == np.stack(alone, axis=-1).tolist()


def test_interval_has_the_same_bytes_twice() -> None:
    returns = np.sqrt(np.arange(2.0, 22.0))  # so many different resampled means that another random stream gives another interval
    assert bootstrap_interval([returns], mean_over_seeds).tobytes() == bootstrap_interval([returns], mean_over_seeds).tobytes()


def test_summary_reports_the_interval_of_the_interquartile_mean_from_three_seeds_on() -> None:
    assert summarize(np.array([1.0, 2.0])).iqm_interval is None
    # 27 resamples of [0, 0, 3]: P(mean = 3) = 1/27 > 2.5 %, P(mean = 0) = 8/27
    assert summarize(np.array([0.0, 0.0, 3.0])).iqm_interval == (0.0, 3.0)


def test_probability_of_improvement_counts_pairs_and_halves_ties() -> None:
    ours, other = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.0])
    assert probability_of_improvement(ours, other) == pytest.approx((1 + 2 + 3) / 9)
    assert probability_of_improvement(ours, other) == pytest.approx(mannwhitneyu(ours, other).statistic / 9)
    assert probability_of_improvement(other, ours) == pytest.approx(1 - 6 / 9)
