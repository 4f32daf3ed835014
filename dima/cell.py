"""A cell: one process, one folder, one lock. The same call starts it, resumes it, or finds it finished (design.md, rules of a cell)."""

from __future__ import annotations

import fcntl
import math
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import envs
from dima.background import Evaluations
from dima.checkpoint import load_checkpoint, save_checkpoint
from dima.compute import describe
from dima.config import CellConfig
from dima.errors import CrashedError, DivergedError, LockedError
from dima.learner import Learner, Scalars
from dima.methods import build_learner
from dima.record.events import EventLog, read_events
from dima.record.files import read_json, write_json
from dima.record.provenance import provenance
from dima.record.sacred_record import Metrics, recorded
from dima.record.summary import summarize

ARCHIVED = ("events.jsonl", "status.json", "summary.json", "config.json", "provenance.json")  # the last goes last


@dataclass(frozen=True)
class Execution:
    """Where and how a cell runs; nothing here changes what it computes on one device and thread count.

    Attributes:
        device: of networks and replay memory.
        checkpoint_seconds: a checkpoint is written after the first epoch that ends this long after the last one; 0: after every epoch.
        from_scratch: begin a new attempt whatever is there.
    """

    device: torch.device
    checkpoint_seconds: float = 300.0
    from_scratch: bool = False


def run_cell(config: CellConfig, folder: Path, execution: Execution) -> None:
    """Run the cell to its budget and write its summary.

    Raises:
        UserError, envs.EnvironmentsError: something the user can put right; before anything is written.
        LockedError: another process runs this cell.
        DivergedError: training is not finite any more; what was recorded stays.
        CrashedError: the simulator broke down; likewise.
    """
    if _is_finished(config, folder) and not execution.from_scratch:
        print(f"{folder}: finished, nothing to do.")
        return
    learner = build_learner(config, execution.device)
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / "lock"):
        if _is_finished(config, folder) and not execution.from_scratch:
            return
        _prepare_attempt(config, folder, execution)
        dropout_stream = torch.get_rng_state()

        def run(metrics: Metrics) -> None:
            torch.set_rng_state(dropout_stream)  # Sacred seeds the global generator when its run starts
            _Run(config, folder, execution, learner, metrics).run()

        recorded("dima", config.model_dump(mode="json"), folder, run)


def _is_finished(config: CellConfig, folder: Path) -> bool:
    summary = read_json(folder / "summary.json")
    return summary is not None and summary.get("config_hash") == config.digest()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the cell's lock. The kernel releases it when the process ends, however it ends."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"{path.parent} is being run by another process; nothing was done.") from None
        yield


def _prepare_attempt(config: CellConfig, folder: Path, execution: Execution) -> None:
    """Continue the attempt in `folder`, or set it aside where it is finished, of another configuration, or unwanted."""
    history = read_json(folder / "provenance.json")
    begun = read_json(folder / "config.json")
    same = begun is not None and begun["digest"] == config.digest()
    if (history or begun) and (history is None or history["finished"] or not same or execution.from_scratch):
        _set_aside(folder, history["attempt"] if history else _next_attempt(folder))
        history = None
    history = history or {"attempt": _next_attempt(folder), "starts": [], "finished": False}
    accelerator = torch.cuda.get_device_name(execution.device) if execution.device.type == "cuda" else None
    start = {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **provenance(execution.device.type, accelerator)}
    write_json(folder / "config.json", {"digest": config.digest(), "config": config.model_dump(mode="json")})
    write_json(folder / "provenance.json", {**history, "starts": [*history["starts"], start]})


def _next_attempt(folder: Path) -> int:
    """One more than the attempts that were set aside: no archive is ever written over."""
    return 1 + max((int(path.name) for path in (folder / "attempts").glob("[0-9]*")), default=0)


def _set_aside(folder: Path, attempt: int) -> None:
    """Keep the old attempt's log under `attempts/<n>`. After a kill in between, provenance without configuration says: do this again."""
    archive = folder / "attempts" / str(attempt)
    archive.mkdir(parents=True, exist_ok=True)
    if (folder / "checkpoint").exists():
        shutil.rmtree(folder / "checkpoint")
    for name in ARCHIVED:
        if (folder / name).exists():
            (folder / name).replace(archive / name)


def _evaluates_beside(config: CellConfig, device: torch.device) -> bool:
    """On a CPU training and evaluation would share the same cores; HARL's policies are not copied."""
    return config.engine == "native" and device.type == "cuda"


class _Run:
    """One process's part of a run."""

    def __init__(self, config: CellConfig, folder: Path, execution: Execution, learner: Learner, metrics: Metrics) -> None:
        self.config, self.folder, self.execution, self.learner, self.metrics = config, folder, execution, learner, metrics
        self._beside = _evaluates_beside(config, execution.device)
        self._evaluations: Evaluations
        self._started = time.monotonic()
        self._seconds_before = 0.0
        self._last_grid_step = -1
        self._latest_return: float | None = None
        self.log: EventLog

    @property
    def wall_seconds(self) -> float:
        """Seconds this attempt has run, earlier processes of it included (what a kill lost is not counted)."""
        return self._seconds_before + time.monotonic() - self._started

    def run(self) -> None:
        """From where the newest checkpoint stands to the budget, then the summary."""
        try:
            task, seed = self.config.task, self.config.seed
            with (
                closing(self.learner),
                closing(self._restore()) as self.log,
                closing(Evaluations(task, seed, beside=self._beside)) as self._evaluations,
            ):
                self._train()
        except (DivergedError, envs.NonFiniteError) as error:
            self._last_status("diverged", str(error))
            raise DivergedError(str(error)) from error
        except envs.EngineError as error:
            self._last_status("failed", str(error))
            raise CrashedError(f"{error}; the same command continues from the last checkpoint.") from error
        except KeyboardInterrupt:
            self._last_status("interrupted", "stopped by a signal; the same command continues from the last checkpoint")
            raise
        except BaseException as error:
            self._last_status("failed", f"{type(error).__name__}: {error}")
            raise

    def _restore(self) -> EventLog:
        """Load the newest sound checkpoint, if there is one; the event log, at that point."""
        state, faults = load_checkpoint(self.folder / "checkpoint")
        for fault in faults:
            print(fault)
        if state is None:
            return EventLog(self.folder / "events.jsonl", 0)
        self._seconds_before = float(state["wall_seconds"])
        self._last_grid_step = int(state["last_grid_step"])
        self._latest_return = state["latest_return"]
        self.learner.load_state_dict(state["learner"])
        print(f"{self.folder}: continuing at {self.learner.env_steps:,} of {self.config.task.env_steps:,} environment steps.")
        return EventLog(self.folder / "events.jsonl", int(state["events"]))

    def _train(self) -> None:
        learner, budget = self.learner, self.config.task.env_steps
        self._status("running")
        if self.config.engine == "native":
            device, eager = self.execution.device, self.config.parameters.algorithm != "dima"
            print(describe(self.config.compute, device, graphs=device.type == "cuda", eager=eager), flush=True)
        self._evaluate_where_due()
        saved = time.monotonic()
        while learner.env_steps < budget:
            self._record_scalars(learner.run_epoch())
            if self._evaluations.pending:  # begun an epoch ago: always here, so that a run that is repeated logs in the same order
                self._record_evaluation()
            if time.monotonic() - saved >= self.execution.checkpoint_seconds and learner.env_steps < budget:
                self._checkpoint()
                saved = time.monotonic()
            self._evaluate_where_due()
            self._status("running")
        if self._evaluations.pending:
            self._record_evaluation()
        self._checkpoint()
        self._finish()

    def _evaluate_where_due(self) -> None:
        """Once for every point of the evaluation grid that has been reached. A checkpoint before it is continued with it."""
        every, budget = self.config.task.evaluation.every, self.config.task.env_steps
        grid_step = budget if self.learner.env_steps >= budget else self.learner.env_steps // every * every
        if grid_step > self._last_grid_step:
            self._evaluate(grid_step)

    def _record_scalars(self, scalars: Scalars) -> None:
        for group, values in scalars.items():
            self.log.write(
                "scalars", self.wall_seconds, env_steps=self.learner.env_steps, epoch=self.learner.epoch, group=group, values=values
            )
            for name, value in values.items():
                self.metrics(f"{group}.{name}", value, self.learner.env_steps)

    def _evaluate(self, grid_step: int) -> None:
        """Begin the evaluation of the policy as it is; record it at once, or an epoch later where it is played beside training."""
        self._evaluations.start(self.learner.frozen_policy(), grid_step, self.learner.env_steps)
        self._last_grid_step = grid_step
        if not self._beside:
            self._record_evaluation()

    def _record_evaluation(self) -> None:
        grid_step, env_steps, results = self._evaluations.take()
        for number, result in enumerate(results):
            self.log.write(
                "evaluation", self.wall_seconds, env_steps=env_steps, grid_step=grid_step, episode=number,
                **{"return": result.episode_return}, length=result.length, success=result.success,
            )  # fmt: skip
        self._latest_return = float(np.mean([result.episode_return for result in results]))
        if not math.isfinite(self._latest_return):
            raise DivergedError(f"an evaluation return at {env_steps} environment steps is not finite")
        self.metrics("evaluation.return", self._latest_return, env_steps)
        print(f"{env_steps:>9,} environment steps, {self.wall_seconds:7.0f} s: return {self._latest_return:.1f}", flush=True)

    def _checkpoint(self) -> None:
        self.log.sync()
        state: dict[str, Any] = {
            "learner": self.learner.state_dict(),
            "events": self.log.position,
            "last_grid_step": self._last_grid_step,
            "latest_return": self._latest_return,
            "wall_seconds": self.wall_seconds,
        }
        save_checkpoint(self.folder / "checkpoint", self.learner.env_steps, state)

    def _status(self, state: str, message: str | None = None) -> None:
        content = {
            "state": state,
            "env_steps": self.learner.env_steps,
            "budget": self.config.task.env_steps,
            "latest_return": self._latest_return,
            "wall_seconds": round(self.wall_seconds, 3),
            "updated": time.time(),
            "process": os.getpid(),
            "host": platform.node(),
            "message": message,
        }
        write_json(self.folder / "status.json", content)

    def _last_status(self, state: str, message: str) -> None:
        """The status at the end of a run that failed; a disk that cannot take it must not hide what went wrong."""
        with suppress(OSError):
            self._status(state, message)

    def _finish(self) -> None:
        """Summary first, by rename; then the mark that tells a forced run (no summary, finished) from an interrupted one."""
        history = read_json(self.folder / "provenance.json")
        events = read_events(self.folder / "events.jsonl")
        summary = summarize(self.config, events, history, self.learner.lineage, self.learner.epoch, self.wall_seconds)
        self._status("completed")
        write_json(self.folder / "summary.json", summary)
        write_json(self.folder / "provenance.json", {**history, "finished": True})
