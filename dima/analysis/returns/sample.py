"""The runs behind one row: the returns of the completed seeds, and the states of the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from dima.analysis.records.load import CellRecord, Summary, read_curve


@dataclass(frozen=True)
class Sample:
    """The seeds of a method on a task, after `env_steps` environment steps.

    Attributes:
        returns: by completed seed, its mean evaluation return, or its error in a study.
        summaries: of the same seeds.
        without_result: by planned seed without a return, the reason.
    """

    task: str
    method: str
    env_steps: int
    returns: dict[int, float]
    summaries: dict[int, Summary]
    without_result: dict[int, str]

    @property
    def planned(self) -> int:
        """Number of seeds the grid asks for."""
        return len(self.returns) + len(self.without_result)

    @property
    def count(self) -> str:
        """`3/4`: completed of planned."""
        return f"{len(self.returns)}/{self.planned}"

    @property
    def started(self) -> bool:
        """Whether any planned seed has left a record."""
        return bool(self.returns) or any(state != "not run" for state in self.without_result.values())

    @property
    def values(self) -> Float[np.ndarray, " seeds"]:
        """The returns in the order of the seeds."""
        return np.array(list(self.returns.values()), dtype=np.float64)

    @property
    def missing(self) -> str:
        """The seeds without a result: `2 diverged (seeds 1, 3), 1 not run (seed 4)`."""
        seeds_by_state: dict[str, list[int]] = defaultdict(list)
        for seed, state in self.without_result.items():
            seeds_by_state[state].append(seed)
        return ", ".join(
            f"{len(seeds)} {state} (seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))})"
            for state, seeds in seeds_by_state.items()
        )

    @property
    def complete(self) -> bool:
        """Whether every planned seed has a return, and all may be averaged."""
        return bool(self.returns) and not self.without_result and not self.mixture

    @property
    def lineage(self) -> str | None:
        """The physics that all completed seeds share; None where there is none or several."""
        found = {summary.lineage for summary in self.summaries.values()}
        return next(iter(found)) if len(found) == 1 else None

    @property
    def mixture(self) -> str | None:
        """Why the completed seeds may not be averaged, None where they may."""
        for what, read in _MUST_AGREE.items():
            found = sorted({read(summary) for summary in self.summaries.values()})
            if len(found) > 1:
                return f"{what} mixed across the seeds: {', '.join(map(str, found))}"
        return None


_MUST_AGREE: dict[str, Callable[[Summary], Any]] = {
    "engines": lambda summary: summary.engine,
    "lineages": lambda summary: summary.lineage,
}


def final_sample(records: Sequence[CellRecord], env_steps: int) -> Sample:
    """The sample of one method on one task at the end of the budget, `env_steps`."""
    return _sample(records, env_steps, lambda record, summary: summary.final.mean)


def earlier_sample(records: Sequence[CellRecord], env_steps: int) -> Sample:
    """The sample at an evaluation before the end, read from the event logs."""
    absent = f"not evaluated after {env_steps:,} env steps"
    return _sample(records, env_steps, lambda record, summary: read_curve(record).get(env_steps), absent)


def study_sample(
    records: Sequence[CellRecord], env_steps: int, read: Callable[[CellRecord], float | None]
) -> Sample:
    """The sample of what `read` finds in the studies of completed cells, None where there is no study."""
    return _sample(records, env_steps, lambda record, summary: read(record), "not studied")


def _sample(
    records: Sequence[CellRecord],
    env_steps: int,
    read: Callable[[CellRecord, Summary], float | None],
    absent: str = "",
) -> Sample:
    returns: dict[int, float] = {}
    summaries: dict[int, Summary] = {}
    without_result: dict[int, str] = {}
    for record in sorted(records, key=lambda record: record.key):
        seed = record.key.seed
        if record.state != "completed" or record.summary is None:
            without_result[seed] = record.state
            continue
        value = read(record, record.summary)
        if value is None:
            without_result[seed] = absent
        else:
            returns[seed] = value
            summaries[seed] = record.summary
    return Sample(records[0].key.task, records[0].key.method, env_steps, returns, summaries, without_result)
