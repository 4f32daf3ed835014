"""What a learning-curve figure draws: one curve a method and a panel a task, with the band around each curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from dima.analysis.records.load import read_curve
from dima.analysis.returns.rows import Row
from dima.analysis.returns.statistics import MIN_SEEDS_FOR_INTERVAL, bootstrap_interval
from dima.config import TaskConfig


@dataclass(frozen=True)
class Curve:
    """Mean evaluation return over the seeds, and the band: a bootstrap interval from three seeds on, below that minimum to maximum."""

    method: str
    seeds: int
    steps: Int[np.ndarray, " steps"]
    mean: Float[np.ndarray, " steps"]
    low: Float[np.ndarray, " steps"]
    high: Float[np.ndarray, " steps"]
    paper: float | None

    @property
    def has_interval(self) -> bool:
        """Whether the band is the bootstrap interval."""
        return self.seeds >= MIN_SEEDS_FOR_INTERVAL


@dataclass(frozen=True)
class Panel:
    """One task. `without_curve` names the methods that have nothing to average; `silence` says why where that is all of them."""

    task: TaskConfig
    curves: list[Curve]
    without_curve: list[str]
    silence: str


def make_panel(task: TaskConfig, rows: Sequence[Row]) -> Panel:
    """The panel of a task from its rows at the end of the budget, one a method."""
    return Panel(
        task=task,
        curves=[_curve(row) for row in rows if row.statistics],
        without_curve=[row.sample.method for row in rows if not row.statistics],
        silence="nothing to average" if any(row.sample.started for row in rows) else "not run",
    )


def _curve(row: Row) -> Curve:
    runs = [read_curve(record) for record in row.records if record.key.seed in row.sample.returns]
    # only steps that every seed was evaluated at, so that each point averages the same seeds
    steps = sorted(set.intersection(*(set(run) for run in runs)))
    returns = np.array([[run[step] for run in runs] for step in steps])
    low, high = returns.min(axis=-1), returns.max(axis=-1)
    if len(runs) >= MIN_SEEDS_FOR_INTERVAL:
        low, high = bootstrap_interval([returns], _mean_over_seeds)
    paper = row.paper.mean if row.paper and row.verdict.difference is not None else None
    return Curve(row.sample.method, len(runs), np.array(steps), returns.mean(axis=-1), low, high, paper)


def _mean_over_seeds(returns: Float[np.ndarray, "*batch seeds"]) -> Float[np.ndarray, "*batch"]:
    return returns.mean(axis=-1)
