"""A cell: one process, one folder, one lock. The same call starts it, resumes it, or finds it finished (design.md, rules of a cell)."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import envs
from dima.background import Evaluations
from dima.baselines.checkout.run import run_upstream
from dima.baselines.checkout.upstream import Upstream, find_upstream
from dima.cell_lock import Lease, hold
from dima.checkpoint import load_checkpoint, save_checkpoint
from dima.compute import describe
from dima.config import CellConfig
from dima.errors import CrashedError, DivergedError, LockedError, StoppedError
from dima.learner import Learner, Scalars
from dima.methods import build_learner
from dima.record.attempt import why_anew
from dima.record.files import read_json, write_json
from dima.record.provenance import provenance
from dima.record.run_record import COMPLETED, EvaluationEntry, RunRecord
from dima.record.sacred_record import Metrics, recorded
from dima.stop_signal import StopSignal

SUMMARY = "summary.json"
ARCHIVED = ("studies", "film.mp4", "events.jsonl", "status.json", SUMMARY, COMPLETED, "config.json", "provenance.json")
"""What is set aside of an attempt, the last goes last. Studies and films show its policy and its world model, not the next one's."""


@dataclass(frozen=True)
class Execution:
    """Where and how a cell runs; nothing here changes what it computes on one device and thread count.

    Attributes:
        device: of networks and replay memory.
        checkpoint_seconds: a checkpoint is written after the first epoch that ends this long after the last one; 0: after every epoch.
        from_scratch: begin a new attempt whatever is there.
        wait: for another process that runs the cell, instead of refusing.
        finished_since: Unix time. A run that has finished since is what was asked for, although its summary was removed meanwhile; what
            finished before is not, although its summary may be there still. 0, or infinite: no cell is forced (see `is_finished`).
        stop: tells when to end at a checkpoint.
    """

    device: torch.device
    checkpoint_seconds: float = 300.0
    from_scratch: bool = False
    wait: bool = False
    finished_since: float = math.inf
    stop: StopSignal = field(default_factory=StopSignal)


def run_cell(config: CellConfig, folder: Path, execution: Execution) -> None:
    """Run the cell to its budget and write its summary.

    Raises:
        UserError, envs.EnvironmentsError: something the user can put right; before anything is written.
        LockedError: another process runs this cell.
        StoppedError: it was asked to stop, and did at a checkpoint.
        DivergedError: training is not finite any more; what was recorded stays.
        CrashedError: the simulator or the program of a checkout broke down; likewise.
    """
    if (folder / SUMMARY).exists() and is_finished(config, folder, execution.finished_since) and not execution.from_scratch:
        print(f"{folder}: finished, nothing to do.")
        return
    upstream = find_upstream(config, execution.device) if config.engine == "checkout" else None
    learner = None if upstream else build_learner(config, execution.device)
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder / "lock", wait=execution.wait, unwanted=lambda: execution.stop.received) as lease:
        if not execution.from_scratch and is_finished(config, folder, execution.finished_since):
            _put_summary_back(folder)
            print(f"{folder}: finished meanwhile, nothing to do.")
            return
        _prepare_attempt(config, folder, execution, upstream)
        dropout_stream = torch.get_rng_state()

        def run(metrics: Metrics) -> None:
            torch.set_rng_state(dropout_stream)  # Sacred seeds the global generator when its run starts
            record = RunRecord(config, folder, metrics)
            if upstream:
                with _told(record, "the same command begins again"):
                    run_upstream(upstream, record)
            elif learner:
                with _told(record, "the same command continues from the last checkpoint"):
                    _Training(config, folder, execution, learner, record, lease).run()

        recorded("dima", config.model_dump(mode="json"), folder, run)


def is_finished(config: CellConfig, folder: Path, since: float) -> bool:
    """Whether a run of the cell that ended after `since` is there, or the cell's summary where `since` says that no cells are forced.

    A workflow removes a cell's summary before it starts the cell: to force it, as there was none yet when it planned, or as an earlier
    workflow was killed before the cell came to its end. In between, what another workflow left running may have come to it. A forced
    cell whose turn in its job has not come still has its old summary.
    """
    forced = 0 < since < math.inf
    if not forced and _summary(config, folder / SUMMARY):
        return True
    return _summary(config, folder / COMPLETED) is not None and (folder / COMPLETED).stat().st_mtime >= since


def _summary(config: CellConfig, path: Path) -> dict[str, Any] | None:
    """The summary at `path`, where it is of this configuration."""
    summary = read_json(path)
    return summary if summary is not None and summary.get("config_hash") == config.digest() else None


def _put_summary_back(folder: Path) -> None:
    summary = read_json(folder / COMPLETED)
    if summary is not None and not (folder / SUMMARY).exists():
        write_json(folder / SUMMARY, summary)


def _prepare_attempt(config: CellConfig, folder: Path, execution: Execution, upstream: Upstream | None = None) -> None:
    """Continue the attempt in `folder`, or set it aside where it is finished, of another configuration, or unwanted."""
    history = read_json(folder / "provenance.json")
    begun = read_json(folder / "config.json")
    anew = why_anew(history["finished"] if history else None, begun["digest"] if begun else None, config.digest())
    if anew or ((history or begun) and execution.from_scratch):
        _set_aside(folder, history["attempt"] if history else _next_attempt(folder))
        history = None
    history = history or {"attempt": _next_attempt(folder), "starts": [], "finished": False}
    accelerator = torch.cuda.get_device_name(execution.device) if execution.device.type == "cuda" else None
    start = {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **provenance(execution.device.type, accelerator)}
    if upstream:
        start["upstream"] = upstream.provenance
    write_json(folder / "config.json", {"digest": config.digest(), "config": config.model_dump(mode="json")})
    write_json(folder / "provenance.json", {**history, "starts": [*history["starts"], start]})


def _next_attempt(folder: Path) -> int:
    """One more than the attempts that were set aside: no archive is ever written over."""
    return 1 + max((int(path.name) for path in (folder / "attempts").glob("[0-9]*")), default=0)


def _set_aside(folder: Path, attempt: int) -> None:
    """Keep the old attempt's log, studies and film under `attempts/<n>`.

    After a kill in between, provenance without configuration says: do this again.
    """
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


@contextmanager
def _told(record: RunRecord, again: str) -> Iterator[None]:
    """Whatever ends the run is the last thing its status says; `again` is what the same command then does."""
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
        record.last_status("failed", f"{type(error).__name__}: {error}")
        raise


class _Training:
    """One process's part of the training of a learner."""

    def __init__(self, config: CellConfig, folder: Path, execution: Execution, learner: Learner, record: RunRecord, lease: Lease) -> None:
        self._lease = lease
        self.config, self.folder, self.execution, self.learner, self.record = config, folder, execution, learner, record
        self._beside = _evaluates_beside(config, execution.device)
        self._evaluations: Evaluations

    def run(self) -> None:
        """From where the newest checkpoint stands to the budget, then the summary."""
        with closing(self.learner):
            self._restore()
            with (
                closing(self.record),
                closing(Evaluations(self.config.task, self.config.seed, beside=self._beside)) as self._evaluations,
            ):
                self._train()

    def _restore(self) -> None:
        """Load the newest sound checkpoint, if there is one, and open the event log at that point."""
        state, faults = load_checkpoint(self.folder / "checkpoint")
        for fault in faults:
            print(fault)
        if state is not None:
            self.learner.load_state_dict(state["learner"])
            self.record.env_steps = self.learner.env_steps
            print(f"{self.folder}: continuing at {self.learner.env_steps:,} of {self.config.task.env_steps:,} environment steps.")
        self.record.begin(state)

    def _train(self) -> None:
        learner, record, budget = self.learner, self.record, self.config.task.env_steps
        record.status("running")
        if self.config.engine == "native":
            device, eager = self.execution.device, self.config.parameters.algorithm != "dima"
            print(describe(self.config.compute, device, graphs=device.type == "cuda", eager=eager), flush=True)
        self._evaluate_where_due()
        saved = time.monotonic()
        while learner.env_steps < budget:
            scalars = learner.run_epoch()
            self._lease.refuse_if_lost()  # before anything is written to what may be another process's by now
            self._record_scalars(scalars)
            if self._evaluations.pending:  # begun an epoch ago: always here, so that a run that is repeated logs in the same order
                self._record_evaluation()
            stop = self.execution.stop.received
            if (stop or time.monotonic() - saved >= self.execution.checkpoint_seconds) and learner.env_steps < budget:
                self._checkpoint()
                saved = time.monotonic()
                if stop:
                    raise StoppedError(f"Stopped at a checkpoint at {learner.env_steps:,} environment steps; the same command continues.")
            self._evaluate_where_due()
            record.status("running")
        if self._evaluations.pending:
            self._record_evaluation()
        self._checkpoint()
        record.finish(learner.lineage, learner.epoch)

    def _record_scalars(self, scalars: Scalars) -> None:
        self.record.env_steps = self.learner.env_steps
        self.record.scalars(scalars, epoch=self.learner.epoch)

    def _evaluate_where_due(self) -> None:
        """Evaluate the policy as it is, once for every point of the grid that has been reached.

        It is recorded at once, or an epoch later where it is played beside training. A checkpoint before it is continued with it.
        """
        grid_step = self.record.reached(self.learner.env_steps)
        if grid_step is not None:
            self._evaluations.start(self.learner.frozen_policy(), grid_step, self.learner.env_steps)
            if not self._beside:
                self._record_evaluation()

    def _record_evaluation(self) -> None:
        grid_step, env_steps, results = self._evaluations.take()
        self.record.evaluation(grid_step, env_steps, [EvaluationEntry(*result) for result in results])

    def _checkpoint(self) -> None:
        state: dict[str, Any] = {**self.record.state_dict(), "learner": self.learner.state_dict()}
        save_checkpoint(self.folder / "checkpoint", self.learner.env_steps, state)
