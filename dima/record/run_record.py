"""What one process records of a run: events, status, Sacred's scalars, and the summary at the end."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dima.config import CellConfig
from dima.errors import DivergedError
from dima.record.attempt import PROVENANCE, History
from dima.record.cell_state import COMPLETED, EVENTS, STATUS, SUMMARY, RunState, Status
from dima.record.events import Event, EventLog, logged, read_events
from dima.record.files import write_json
from dima.record.sacred_record import Metrics
from dima.record.summary import summarize


class EvaluationEntry(NamedTuple):
    """An episode of an evaluation, or the mean over `episodes` (None for a single episode).

    `length` and `success` are None where they are unknown or do not apply.
    """

    episode_return: float
    length: float | None
    success: bool | None
    episodes: int | None = None


class RunRecord:
    """The record of a run in its cell's folder.

    Attributes:
        history: the content of `provenance.json`, with this process in it.
        env_steps: environment steps taken in training; set by the run.
        latest_return: mean of the latest evaluation.
    """

    def __init__(self, config: CellConfig, folder: Path, history: History, metrics: Metrics) -> None:
        self.config, self.folder, self.history = config, folder, history
        self.env_steps = 0
        self.latest_return: float | None = None
        self._metrics = metrics
        self._last_grid_step = -1
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self._log: EventLog

    @property
    def wall_seconds(self) -> float:
        """Seconds this attempt has run, over all its processes, without what a kill lost."""
        return self._seconds_before + time.monotonic() - self._started

    def begin(self, state: dict[str, Any] | None = None) -> None:
        """Open the event log at its start or where `state` was taken. Raises UserError as `EventLog`."""
        if state is not None:
            self._seconds_before = float(state["wall_seconds"])
            self._last_grid_step = int(state["last_grid_step"])
            self.latest_return = state["latest_return"]
        self._log = EventLog(self.folder / EVENTS, int(state["events"]) if state else 0)

    def state_dict(self) -> dict[str, Any]:
        """The state that `begin` continues from, once the log has reached the disk."""
        self._log.sync()
        return {
            "events": self._log.position,
            "last_grid_step": self._last_grid_step,
            "latest_return": self.latest_return,
            "wall_seconds": self.wall_seconds,
            "history": self.history,
        }

    def close(self) -> None:
        """Close the event log."""
        self._log.close()

    def reached(self, env_steps: int) -> int | None:
        """The newest point of the evaluation grid (the budget is one), or None if it was returned before."""
        every, budget = self.config.task.evaluation.every, self.config.task.env_steps
        grid_step = budget if env_steps >= budget else env_steps // every * every
        if grid_step <= self._last_grid_step:
            return None
        self._last_grid_step = grid_step
        return grid_step

    def scalars(self, groups: Mapping[str, Mapping[str, float]], **place: int) -> None:
        """Log numbers by group and name at the steps taken so far, with further coordinates in `place`."""
        self._log.scalars(self.wall_seconds, {"env_steps": self.env_steps, **place}, groups)
        for group, values in groups.items():
            for name, value in values.items():
                number = logged(name, value)
                self._metrics(f"{group}.{name}", value if number is None else number, self.env_steps)

    def evaluation(self, grid_step: int, env_steps: int, entries: Sequence[EvaluationEntry]) -> None:
        """Log one evaluation of the policy at `env_steps`, for a point of the grid.

        Raises DivergedError for a mean that is not finite.
        """
        episodes = [
            {"return": entry.episode_return, "length": entry.length, "success": entry.success}
            | ({} if entry.episodes is None else {"episodes": entry.episodes})
            for entry in entries
        ]
        self._log.evaluation(self.wall_seconds, episodes, env_steps=env_steps, grid_step=grid_step)
        mean = float(np.mean([entry.episode_return for entry in entries]))
        if not math.isfinite(mean):
            raise DivergedError(f"an evaluation return at {env_steps} environment steps is not finite")
        self.latest_return = mean
        self._metrics("evaluation.return", mean, env_steps)
        print(f"{env_steps:>9,} environment steps, {self.wall_seconds:7.0f} s: return {mean:.1f}", flush=True)

    def status(self, state: RunState, message: str | None = None) -> None:
        """Write `status.json`, which `dima status` and the progress display read."""
        status = Status(
            state=state,
            env_steps=self.env_steps,
            budget=self.config.task.env_steps,
            latest_return=self.latest_return,
            wall_seconds=round(self.wall_seconds, 3),
            updated=time.time(),
            process=os.getpid(),
            host=platform.node(),
            message=message,
        )
        write_json(self.folder / STATUS, status.model_dump(exclude={"synthetic"}))

    def last_status(self, state: RunState, message: str) -> None:
        """Write the status of a run that failed; a full disk must not hide the first error."""
        with suppress(OSError):
            self.status(state, message)

    def finish(self, lineage: str, epochs: int | None) -> None:
        """Write the summary and mark the attempt as finished, in the order of `dima.record.cell_state`.

        Args:
            lineage: of the environment: physics engine and versions.
            epochs: rounds of collecting and learning; None where the method does not count them.
        """
        events: list[Event] = read_events(self.folder / EVENTS)
        summary = summarize(self.config, events, self.history, lineage, epochs, self.wall_seconds)
        self.status("completed")
        write_json(self.folder / SUMMARY, summary)
        write_json(self.folder / COMPLETED, summary)
        write_json(self.folder / PROVENANCE, {**self.history, "finished": True})
