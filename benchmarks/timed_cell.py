"""A cell that runs with stopwatches, in a folder that is removed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.timing import Stopwatch
from dima.cell.methods import build_learner
from dima.cell.run import Execution, run_cell
from dima.cell.side_evaluation import Evaluations
from dima.config import CellConfig
from dima.learning.learner import Learner, Scalars


@dataclass
class TimedCell:
    """What one run of a cell took, in seconds of `time.perf_counter`.

    Attributes:
        started, ended: when `run_cell` was called and returned.
        running: of its own, from its first line in the log to its summary.
        epochs: stopwatch of all epochs.
        ends: environment steps and time at the end of each epoch.
        evaluations: stopwatches of beginning evaluations and of taking their results.
    """

    started: float = 0.0
    ended: float = 0.0
    running: float = 0.0
    epochs: Stopwatch = field(default_factory=lambda: Stopwatch(lambda: None))
    ends: list[tuple[int, float]] = field(default_factory=list)
    evaluations: list[Stopwatch] = field(default_factory=list)

    def run(self, config: CellConfig, device: torch.device, checkpoint_seconds: float = 300.0) -> None:
        """Run the cell to its budget."""
        execution = Execution(device, checkpoint_seconds, build=self._build, evaluations=self._evaluations)
        with TemporaryDirectory() as folder:
            self.started = time.perf_counter()
            run_cell(config, Path(folder), execution)
            self.ended = time.perf_counter()
            summary = json.loads((Path(folder) / "summary.json").read_text(encoding="utf-8"))
        self.running = summary["wall_seconds"]

    def _build(self, config: CellConfig, device: torch.device) -> Learner:
        learner = build_learner(config, device)
        self.epochs = Stopwatch(learner.run_epoch)

        def run_epoch() -> Scalars:
            scalars = self.epochs()
            self.ends.append((learner.env_steps, time.perf_counter()))
            return scalars

        learner.run_epoch = run_epoch
        return learner

    def _evaluations(self, *arguments: Any, **named: Any) -> Evaluations:
        made = Evaluations(*arguments, **named)
        made.start, made.take = self.evaluations = [Stopwatch(made.start), Stopwatch(made.take)]
        return made
