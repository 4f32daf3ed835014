"""Running a cell: one process, one folder, one lock (docs/design.md#rules-of-a-cell)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

import envs
from dima.baselines.checkout.run import run_upstream
from dima.baselines.checkout.upstream import Upstream, find_upstream
from dima.cell.attempts import begin_process, continued_from, drop_earlier_checkpoints
from dima.cell.checkpoint import load_checkpoint
from dima.cell.checkpoint_writer import CheckpointWriter
from dima.cell.lock import Lease, hold
from dima.cell.methods import build_learner
from dima.cell.side_evaluation import Evaluations
from dima.cell.stop_signal import StopSignal
from dima.config import CellConfig
from dima.errors import CrashedError, DivergedError, LockedError, StoppedError, UserError
from dima.learning.compute import describe
from dima.learning.learner import Learner, Scalars
from dima.record.cell_state import CHECKPOINT, Step, next_step, read_files, restore_summary
from dima.record.provenance import provenance
from dima.record.run_record import EvaluationEntry, RunRecord
from dima.record.sacred_record import Metrics, recorded


@dataclass(frozen=True)
class Execution:
    """Where and how a cell runs; nothing here changes what it computes on one device and thread count.

    Attributes:
        device: of networks and replay memory.
        checkpoint_seconds: least time between two checkpoints; 0: one after every epoch.
        from_scratch: begin a new attempt whatever is there.
        wait: for another process that runs the cell, instead of refusing.
        finished_after: Unix time; see `dima.record.cell_state.next_step`.
        stop: says when to end at a checkpoint.
        build: makes the learner; None: `build_learner`.
        evaluations: makes what evaluates, of the arguments of `Evaluations`; None: that.
    """

    device: torch.device
    checkpoint_seconds: float = 300.0
    from_scratch: bool = False
    wait: bool = False
    finished_after: float = math.inf
    stop: StopSignal = field(default_factory=StopSignal)
    build: Callable[[CellConfig, torch.device], Learner] | None = None
    evaluations: Callable[..., Evaluations] | None = None


def run_cell(config: CellConfig, folder: Path, execution: Execution) -> None:
    """Run the cell to its budget and write its summary.

    Raises:
        UserError, envs.EnvironmentsError: the user can correct it; nothing was written.
        LockedError: another process runs this cell.
        StoppedError: stopped at a checkpoint, as asked.
        DivergedError: a loss, a return or a weight is not finite; the record stays.
        CrashedError: the simulator or the program of a checkout crashed; the record stays.
    """
    if _next_step(config, folder, execution) == "nothing":
        print(f"{folder}: finished, nothing to do.")
        return
    upstream = find_upstream(config, execution.device) if config.engine == "checkout" else None
    learner = None if upstream else (execution.build or build_learner)(config, execution.device)
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder / "lock", wait=execution.wait, unwanted=lambda: execution.stop.received) as lease:
        if _next_step(config, folder, execution) in ("nothing", "restore summary"):
            restore_summary(folder)
            print(f"{folder}: finished meanwhile, nothing to do.")
            return
        history = begin_process(
            config, folder, _start(execution.device, upstream), from_scratch=execution.from_scratch
        )
        dropout_stream = torch.get_rng_state()

        def run(metrics: Metrics) -> None:
            torch.set_rng_state(dropout_stream)  # Sacred seeds the global generator when its run starts
            record = RunRecord(config, folder, history, metrics)
            if upstream:
                with _final_status(record, "the same command begins again"):
                    run_upstream(upstream, record)
            elif learner:
                with _final_status(record, "the same command continues from the last checkpoint"):
                    _Training(config, folder, execution, learner, record, lease).run()

        recorded("dima", config.model_dump(mode="json"), folder, run)


def _next_step(config: CellConfig, folder: Path, execution: Execution) -> Step:
    return next_step(
        read_files(folder),
        config,
        finished_after=execution.finished_after,
        from_scratch=execution.from_scratch,
    )


def _start(device: torch.device, upstream: Upstream | None) -> dict[str, Any]:
    """What this process runs with: its start, versions and hardware."""
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    start = {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **provenance(device.type, accelerator)}
    return start | ({"upstream": upstream.provenance} if upstream else {})


def _evaluates_in_parallel(config: CellConfig, device: torch.device) -> bool:
    """On a CPU training and evaluation would share the same cores; HARL's policies are not copied."""
    return config.engine == "native" and device.type == "cuda"


@contextmanager
def _final_status(record: RunRecord, again: str) -> Iterator[None]:
    """Record why the run ended, then re-raise; `again` is what the same command then does."""
    try:
        yield
    except (DivergedError, envs.NonFiniteError) as error:
        record.last_status("diverged", str(error))
        raise DivergedError(str(error)) from error
    except envs.EngineError as error:
        record.last_status("failed", str(error))
        raise CrashedError(f"{error}; {again}.") from error
    except CrashedError as error:
        record.last_status("failed", str(error))
        raise
    except (KeyboardInterrupt, StoppedError):
        record.last_status("interrupted", f"stopped by a signal; {again}")
        raise
    except LockedError:  # the status is another process's
        raise
    except BaseException as error:
        record.last_status("failed", _reason(error))
        raise


def _reason(error: BaseException) -> str:
    """The error in one line, with the type of an unexpected exception."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{f': {error.filename}' if error.filename else ''}"
    words = " ".join(str(error).split())
    return words if isinstance(error, UserError) else f"{words or 'no reason given'} ({type(error).__name__})"


class _Training:
    """One process's part of the training of a learner."""

    def __init__(
        self,
        config: CellConfig,
        folder: Path,
        execution: Execution,
        learner: Learner,
        record: RunRecord,
        lease: Lease,
    ) -> None:
        self._lease = lease
        self.config, self.folder, self.execution = config, folder, execution
        self.learner, self.record = learner, record
        self._parallel = _evaluates_in_parallel(config, execution.device)
        self._evaluations: Evaluations
        self._checkpoints: CheckpointWriter

    def run(self) -> None:
        """Train from the newest checkpoint to the budget, then write the summary."""
        with closing(self.learner):
            self._restore()
            with (
                closing(self.record),
                closing(
                    (self.execution.evaluations or Evaluations)(
                        self.config.task, self.config.seed, parallel=self._parallel
                    )
                ) as self._evaluations,
                CheckpointWriter(
                    self.folder / CHECKPOINT, partial(drop_earlier_checkpoints, self.folder)
                ) as self._checkpoints,
            ):
                self._train()

    def _restore(self) -> None:
        """Load the newest sound checkpoint, if there is one, and open the event log at that point."""
        state, faults = load_checkpoint(continued_from(self.folder, self.record.history) / CHECKPOINT)
        for fault in faults:
            print(fault)
        if state is not None:
            self.learner.load_state_dict(state["learner"])
            self.record.env_steps = self.learner.env_steps
            steps, budget = self.learner.env_steps, self.config.task.env_steps
            print(f"{self.folder}: continuing at {steps:,} of {budget:,} environment steps.")
        self.record.begin(state)

    def _train(self) -> None:
        learner, record, budget = self.learner, self.record, self.config.task.env_steps
        record.status("running")
        if self.config.engine == "native":
            device = self.execution.device
            denoiser = getattr(self.config.parameters, "denoiser", None)
            graphs = device.type == "cuda"
            print(
                describe(
                    self.config.compute, device, graphs=graphs, eager=denoiser is None, denoiser=denoiser
                ),
                flush=True,
            )
        self._evaluate_where_due()
        saved = time.monotonic()
        while learner.env_steps < budget:
            scalars = learner.run_epoch()
            self._checkpoints.refuse_if_failed()
            self._lease.refuse_if_lost()  # before anything is written to what another process may hold now
            self._record_scalars(scalars)
            # started an epoch ago: recorded always here, so that a repeated run logs in the same order
            if self._evaluations.pending:
                self._record_evaluation()
            stop = self.execution.stop.received
            if (
                stop or time.monotonic() - saved >= self.execution.checkpoint_seconds
            ) and learner.env_steps < budget:
                self._checkpoint()
                saved = time.monotonic()
                if stop:
                    self._checkpoints.wait()
                    steps = f"{learner.env_steps:,} environment steps"
                    raise StoppedError(f"Stopped at a checkpoint at {steps}; the same command continues.")
            self._evaluate_where_due()
            record.status("running")
        if self._evaluations.pending:
            self._record_evaluation()
        self._checkpoint()
        self._checkpoints.wait()
        record.finish(learner.lineage, learner.epoch)

    def _record_scalars(self, scalars: Scalars) -> None:
        self.record.env_steps = self.learner.env_steps
        self.record.scalars(scalars, epoch=self.learner.epoch)

    def _evaluate_where_due(self) -> None:
        """Evaluate the policy once at every point of the grid.

        The result is recorded at once, or an epoch later where it is played during training. A run that
        continues from an earlier checkpoint makes it again.
        """
        grid_step = self.record.reached(self.learner.env_steps)
        if grid_step is not None:
            self._evaluations.start(self.learner.frozen_policy(), grid_step, self.learner.env_steps)
            if not self._parallel:
                self._record_evaluation()

    def _record_evaluation(self) -> None:
        grid_step, env_steps, results = self._evaluations.take()
        self.record.evaluation(grid_step, env_steps, [EvaluationEntry(*result) for result in results])

    def _checkpoint(self) -> None:
        state: dict[str, Any] = {**self.record.state_dict(), "learner": self.learner.state_dict()}
        self._checkpoints.write(self.learner.env_steps, state)
