"""Statistics against numbers worked out by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from dima.analysis.returns.statistics import (
    area_under_curve,
    bootstrap_interval,
    interquartile_mean,
    mean_improvement,
    performance_profile,
    probability_of_improvement,
    steps_to_reach,
    summarize,
)


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
    # the mean of a resample of [0, 0, 0, 4] is Binomial(4, 1/4): P(<= 2) = 0.949, P(<= 3) = 0.996, P(0) =
    # 0.316
    assert bootstrap_interval([np.array([0.0, 0.0, 0.0, 4.0])], mean_over_seeds).tolist() == [0.0, 3.0]


def test_interval_agrees_with_all_resamples_of_five() -> None:
    returns = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    exact = np.quantile([np.mean(chosen) for chosen in product(returns, repeat=5)], [0.025, 0.975])
    low, high = bootstrap_interval([returns], mean_over_seeds)
    assert abs(low - exact[0]) <= 0.4
    assert abs(high - exact[1]) <= 0.4


def test_strata_keep_their_number_of_seeds() -> None:
    # resampling the five values together would give means from 1 to 5, strata of two or of three each means
    # of 3
    assert bootstrap_interval(
        [np.array([1.0, 1.0]), np.array([5.0, 5.0, 5.0])], mean_over_seeds
    ).tolist() == [3.4, 3.4]


def test_interval_of_a_curve_is_the_interval_of_each_step() -> None:
    curve = np.array([[0.0, 0.0, 0.0, 4.0], [1.0, 2.0, 3.0, 10.0]])
    together = bootstrap_interval([curve], mean_over_seeds)
    alone = [bootstrap_interval([step], mean_over_seeds) for step in curve]
    assert together.tolist() == np.stack(alone, axis=-1).tolist()


def test_interval_has_the_same_bytes_twice() -> None:
    returns = np.sqrt(
        np.arange(2.0, 22.0)
    )  # so many different resampled means that another random stream gives another interval
    assert (
        bootstrap_interval([returns], mean_over_seeds).tobytes()
        == bootstrap_interval([returns], mean_over_seeds).tobytes()
    )


def test_summary_reports_the_interval_of_the_interquartile_mean_from_three_seeds_on() -> None:
    assert summarize(np.array([1.0, 2.0])).iqm_interval is None
    # 27 resamples of [0, 0, 3]: P(mean = 3) = 1/27 > 2.5 %, P(mean = 0) = 8/27
    assert summarize(np.array([0.0, 0.0, 3.0])).iqm_interval == (0.0, 3.0)


def test_probability_of_improvement_counts_pairs_and_halves_ties() -> None:
    ours, other = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.0])
    assert probability_of_improvement(ours, other) == pytest.approx((1 + 2 + 3) / 9)
    assert probability_of_improvement(ours, other) == pytest.approx(mannwhitneyu(ours, other).statistic / 9)
    assert probability_of_improvement(other, ours) == pytest.approx(1 - 6 / 9)


# Ten numbers of rliable 1.2.0 (numpy 2, scipy 1, arch; an environment of its own) for two methods on four
# tasks, runs x tasks, by metrics.aggregate_iqm, metrics.probability_of_improvement,
# library.create_performance_profile and library.get_interval_estimates
X = np.sqrt(np.arange(2.0, 22.0)).reshape(5, 4)
Y = np.log(np.arange(2.0, 34.0)).reshape(8, 4)[::-1] + 0.9


def tasks_of(scores: np.ndarray) -> list[np.ndarray]:
    return list(scores.T)


def test_interquartile_means_are_those_of_rliable() -> None:
    assert interquartile_mean(X.flatten()) == pytest.approx(3.363737450991766, rel=1e-12)
    assert interquartile_mean(Y.flatten()) == pytest.approx(3.7251111089311904, rel=1e-12)
    assert interquartile_mean(X[:, 0]) == pytest.approx(3.1178082632418325, rel=1e-12)


def test_stratified_intervals_are_those_of_rliable() -> None:
    # rliable with 50,000 resamples; ours has 2,000, whose quantiles differ by up to about 0.02
    assert bootstrap_interval(tasks_of(X), interquartile_mean) == pytest.approx(
        [2.80797479, 3.84640636], abs=0.04
    )
    assert bootstrap_interval(tasks_of(Y), interquartile_mean) == pytest.approx(
        [3.40701698, 3.96370056], abs=0.04
    )


def test_mean_improvement_is_that_of_rliable() -> None:
    pairs = list(zip(tasks_of(X), tasks_of(Y), strict=True))
    mean, interval = mean_improvement(pairs)
    assert mean == pytest.approx(0.4125, rel=1e-12)
    assert interval == pytest.approx([0.24375, 0.59375], abs=0.02)
    assert mean_improvement([(np.round(ours), np.round(other)) for ours, other in pairs])[0] == pytest.approx(
        0.40625, rel=1e-12
    )  # ties


def test_interval_of_an_improvement_agrees_with_all_resamples() -> None:
    ours, other = np.array([1.0, 4.0, 6.0]), np.array([2.0, 4.0])
    everyone = [
        probability_of_improvement(np.array(x), np.array(y))
        for x, y in product(product(ours, repeat=3), product(other, repeat=2))
    ]
    mean, interval = mean_improvement([(ours, other)])
    assert mean == pytest.approx(3.5 / 6)
    assert interval == pytest.approx(np.quantile(everyone, [0.025, 0.975]), abs=0.06)


def test_performance_profiles_are_those_of_rliable() -> None:
    thresholds = np.array([1.0, 2.0, 3.0, 4.0, 4.5, 5.0])
    assert performance_profile(X.flatten(), thresholds).tolist() == pytest.approx(
        [1.0, 0.85, 0.6, 0.25, 0.05, 0.0]
    )
    assert performance_profile(Y.flatten(), thresholds).tolist() == pytest.approx(
        [1.0, 0.9375, 0.78125, 0.34375, 0.0, 0.0]
    )
    low, high = bootstrap_interval(tasks_of(X), lambda scores: performance_profile(scores, thresholds))
    assert low == pytest.approx([1.0, 0.7, 0.4, 0.1, 0.0, 0.0], abs=0.051)  # a run is 1/20
    assert high == pytest.approx([1.0, 1.0, 0.8, 0.45, 0.15, 0.0], abs=0.051)


def test_a_score_at_the_threshold_is_not_above_it() -> None:
    assert performance_profile(np.array([1.0, 2.0, 2.0, 3.0]), np.array([2.0])).tolist() == [0.25]


def test_area_under_a_curve_is_its_mean_over_the_steps_it_spans() -> None:
    # trapezoids (0 + 4)/2 * 1000 and (4 + 6)/2 * 3000, over 4000 steps
    assert area_under_curve(np.array([1000, 2000, 5000]), np.array([0.0, 4.0, 6.0])) == pytest.approx(
        (2000 + 15000) / 4000
    )
    with pytest.raises(ValueError, match="single evaluation"):
        area_under_curve(np.array([1000]), np.array([1.0]))


def test_steps_to_reach_a_target_are_those_of_the_first_evaluation_there() -> None:
    steps, returns = np.array([0, 1000, 2000, 3000]), np.array([-1.0, 5.0, 2.0, 8.0])
    assert [steps_to_reach(steps, returns, target) for target in (-2.0, 2.0, 5.0, 5.1, 8.1)] == [
        0,
        1000,
        1000,
        3000,
        None,
    ]
