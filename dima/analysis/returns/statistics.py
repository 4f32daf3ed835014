"""Statistics of returns over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.integrate import trapezoid
from scipy.stats import trim_mean

RESAMPLES = 2000
CONFIDENCE = 0.95
MIN_SEEDS_FOR_INTERVAL = 3
_ROWS_AT_ONCE = 256
"""Resampling a few thousand rows together would take gigabytes."""
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
Returns = Float[np.ndarray, " runs"]


class Statistics(NamedTuple):
    """Statistics of the final returns of one row; None where the number of seeds does not allow one."""

    mean: float
    std_sample: float | None
    std_population: float
    iqm: float
    iqm_interval: tuple[float, float] | None


def summarize(returns: Float[np.ndarray, " seeds"]) -> Statistics:
    """The statistics of at least one return; the interval from `MIN_SEEDS_FOR_INTERVAL` seeds on."""
    interval = None
    if len(returns) >= MIN_SEEDS_FOR_INTERVAL:
        low, high = bootstrap_interval([returns], interquartile_mean)
        interval = (float(low), float(high))
    return Statistics(
        mean=float(returns.mean()),
        std_sample=deviation(returns),
        std_population=float(returns.std(ddof=0)),
        iqm=interquartile_mean(returns).item(),
        iqm_interval=interval,
    )


def deviation(values: Float[np.ndarray, " seeds"]) -> float | None:
    """The standard deviation (ddof 1), None of less than two values."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def interquartile_mean(values: Float[np.ndarray, "*batch seeds"]) -> Float[np.ndarray, "*batch"]:
    """Mean without the floor(n/4) lowest and highest values of the last axis (Agarwal et al. 2021)."""
    return np.asarray(trim_mean(values, proportiontocut=0.25, axis=-1))


def bootstrap_interval(
    strata: Sequence[Float[np.ndarray, "*steps _seeds"]],
    statistic: Callable[
        [Float[np.ndarray, "resamples *steps all_seeds"]], Float[np.ndarray, " resamples *steps"]
    ],
) -> Float[np.ndarray, " bound *steps"]:
    """Percentile bootstrap interval (95 %) of a statistic of the seeds.

    Every stratum (one task, say) is resampled with replacement within itself, so that each keeps its number
    of seeds; the statistic sees the resampled strata side by side on the last axis. The random stream is
    fixed: equal input gives equal bytes.
    """
    generator = np.random.default_rng(0)
    resampled = []
    for values in strata:
        seeds = values.shape[-1]
        chosen = generator.integers(seeds, size=(RESAMPLES, seeds))
        resampled.append(np.moveaxis(values[..., chosen], -2, 0))
    estimates = statistic(np.concatenate(resampled, axis=-1))
    return np.quantile(estimates, _TAILS, axis=0)


def mean_and_bounds(
    values: Float[np.ndarray, "rows seeds"],
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """The mean over seeds and its bootstrap interval; minimum and maximum of less than three seeds."""
    values = np.ascontiguousarray(values)
    lows, highs = values.min(axis=-1), values.max(axis=-1)
    if values.shape[-1] >= MIN_SEEDS_FOR_INTERVAL:
        parts = [values[first : first + _ROWS_AT_ONCE] for first in range(0, len(values), _ROWS_AT_ONCE)]
        lows, highs = np.concatenate(
            [bootstrap_interval([part], lambda all_seeds: all_seeds.mean(axis=-1)) for part in parts], axis=-1
        )
    return values.mean(axis=-1), lows, highs


def probability_of_improvement(
    returns: Float[np.ndarray, " seeds"], other: Float[np.ndarray, " other_seeds"]
) -> float:
    """P(X > Y) + P(X = Y) / 2 over all pairs of runs: Mann-Whitney U over the number of pairs."""
    differences = returns[:, None] - other[None, :]
    return float((differences > 0).mean() + (differences == 0).mean() / 2)


def mean_improvement(pairs: Sequence[tuple[Returns, Returns]]) -> tuple[float, Float[np.ndarray, " bound"]]:
    """The mean probability of improvement over pairs of samples, and its bootstrap interval (95 %).

    Every sample (one task's, say) is resampled within itself; the random stream is fixed.
    """
    generator = np.random.default_rng(0)
    estimates = np.zeros(RESAMPLES)
    for returns, other in pairs:
        wins = np.heaviside(returns[:, None] - other[None, :], 0.5)
        weights = (_resampled_weights(generator, len(sample)) for sample in (returns, other))
        estimates += np.einsum("ri,ij,rj->r", next(weights), wins, next(weights), optimize=True)
    mean = float(np.mean([probability_of_improvement(returns, other) for returns, other in pairs]))
    return mean, np.quantile(estimates / len(pairs), _TAILS)


def performance_profile(
    scores: Float[np.ndarray, "*batch runs"], thresholds: Float[np.ndarray, " thresholds"]
) -> Float[np.ndarray, "*batch thresholds"]:
    """The share of runs whose score is above each threshold (score distribution, Agarwal et al. 2021)."""
    # one by one, or resamples would fill the memory
    return np.stack([np.asarray((scores > level).mean(axis=-1)) for level in thresholds], axis=-1)


def area_under_curve(steps: Int[np.ndarray, " steps"], returns: Float[np.ndarray, " steps"]) -> float:
    """The mean return over training: trapezoidal area under a learning curve, divided by its steps.

    Raises:
        ValueError: the curve is a single point.
    """
    if len(steps) < 2:
        raise ValueError("a single evaluation spans no area")
    return float(trapezoid(returns, steps) / (steps[-1] - steps[0]))


def steps_to_reach(
    steps: Int[np.ndarray, " steps"], returns: Float[np.ndarray, " steps"], target: float
) -> int | None:
    """The first of the growing steps at which the curve is at the target or above, None where it never is."""
    reached = np.flatnonzero(returns >= target)
    return int(steps[reached[0]]) if len(reached) else None


def _resampled_weights(generator: np.random.Generator, runs: int) -> Float[np.ndarray, "resamples runs"]:
    """The share that each run has in each resample with replacement."""
    chosen = generator.integers(runs, size=(RESAMPLES, runs))
    weights = np.zeros((RESAMPLES, runs))
    np.add.at(weights, (np.arange(RESAMPLES)[:, None], chosen), 1 / runs)
    return weights
