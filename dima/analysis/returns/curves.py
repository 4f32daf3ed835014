"""Learning curves over seeds: a panel a task, a curve with its band a method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from dima.analysis.records.load import read_curve
from dima.analysis.returns.rows import Row
from dima.analysis.returns.statistics import MIN_SEEDS_FOR_INTERVAL, mean_and_bounds
from dima.config import TaskConfig
from dima.config.grid import Grid


@dataclass(frozen=True)
class Curve:
    """Mean evaluation return over the seeds, and the band, see `mean_and_bounds`."""

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
    """One task; `without_curve` names the methods without completed seeds, `silence` replaces all curves."""

    task: TaskConfig
    curves: list[Curve]
    without_curve: list[str]
    silence: str

    @property
    def seeds(self) -> str:
        """`n = 4, mappo 3`: the commonest number of seeds, then the curves with another one."""
        counts = Counter(curve.seeds for curve in self.curves).most_common(1)
        others = [
            f", {curve.method}\N{NO-BREAK SPACE}{curve.seeds}"
            for curve in self.curves
            if curve.seeds != counts[0][0]
        ]
        return f"n = {counts[0][0]}{''.join(others)}" if counts else ""


def runs_of(row: Row) -> pd.DataFrame:
    """Mean evaluation returns: a row an environment step, a column a completed seed, NaN where there is none.

    Raises:
        UserError: an event log cannot be trusted, see `read_curve`.
    """
    completed = [record for record in row.records if record.key.seed in row.sample.returns]
    return pd.DataFrame(
        {record.key.seed: pd.Series(read_curve(record), dtype=float) for record in completed}
    ).sort_index()


def make_panels(grid: Grid, rows: Sequence[Row]) -> dict[str, Panel]:
    """A panel for each task of the rows, which are at the end of the budget."""
    own: dict[str, list[Row]] = {}
    for row in rows:
        own.setdefault(row.sample.task, []).append(row)
    return {task: make_panel(grid.task(task), rows) for task, rows in own.items()}


def make_panel(task: TaskConfig, rows: Sequence[Row]) -> Panel:
    """The panel of a task from its rows, one a method."""
    return Panel(
        task=task,
        curves=[_curve(row) for row in rows if row.statistics],
        without_curve=[row.sample.method for row in rows if not row.statistics],
        silence="nothing to average" if any(row.sample.started for row in rows) else "not run",
    )


def _curve(row: Row) -> Curve:
    shared = runs_of(row).dropna()  # each point averages the same seeds
    paper = row.paper.mean if row.paper and row.verdict.difference is not None else None
    return Curve(
        row.sample.method,
        len(shared.columns),
        shared.index.to_numpy(),
        *mean_and_bounds(shared.to_numpy()),
        paper,
    )
