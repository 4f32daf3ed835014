"""Cells that train nothing but a number, in processes forked from the test's own: hundreds of them cost
little."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import dima.cell.run
from dima.cell.checkpoint import has_checkpoint
from dima.cell.run import Execution, run_cell
from dima.cell.side_evaluation import Evaluated
from dima.config import CellConfig, TaskConfig
from dima.config.grid import CellKey, Grid
from dima.experience.evaluate import EpisodeResult
from dima.record.events import read_events
from dima.record.run_record import RunRecord

KEY = CellKey("push-mass", "dima", 1)
CELL = Path("tiny/cells", KEY.folder)
FIRST = 400
"""Budget of a cell, in environment steps."""
HALF = 2
"""Epochs after which half a run is killed, its log one epoch ahead of its checkpoint."""


class Counting:
    """100 steps an epoch; what it reports depends on every step before."""

    lineage = "counting"

    def __init__(self) -> None:
        self.env_steps, self.epoch, self.chain = 0, 0, 0

    def run_epoch(self) -> dict[str, dict[str, float]]:
        self.env_steps, self.epoch = self.env_steps + 100, self.epoch + 1
        self.chain = (31 * self.chain + self.env_steps) % 9973
        return {"counting": {"chain": float(self.chain)}}

    def frozen_policy(self) -> int:
        return self.chain

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def close(self) -> None:
        pass


class Returns:
    """In place of evaluations: the number itself is the return of every episode."""

    def __init__(self, task: TaskConfig, seed: int, *, parallel: bool) -> None:
        self._found: list[Evaluated] = []

    @property
    def pending(self) -> bool:
        return bool(self._found)

    def start(self, policy: int, grid_step: int, env_steps: int) -> None:
        self._found.append(Evaluated(grid_step, env_steps, [EpisodeResult(float(policy), 50, None)] * 2))

    def take(self) -> Evaluated:
        return self._found.pop(0)

    def close(self) -> None:
        pass


def count_instead_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without Sacred, and without asking git where the code is from."""
    monkeypatch.setattr(dima.cell.run, "build_learner", lambda config, device: Counting())
    monkeypatch.setattr(
        dima.cell.run, "recorded", lambda name, config, folder, run: run(lambda metric, value, step: None)
    )
    start = {"commit": "c", "dirty": False, "image": "none", "lock": None, "hardware": "h", "device": "cpu"}
    monkeypatch.setattr(dima.cell.run, "provenance", lambda device, accelerator: start)
    monkeypatch.setattr(dima.cell.run, "describe", lambda *_, **__: "")
    monkeypatch.setattr(dima.cell.run, "Evaluations", Returns)
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: None
    )  # a kill takes nothing that was written; a power cut would


def in_a_process(work: Callable[[], object], output: str | Path = os.devnull) -> int:
    """Its exit status; minus the signal's number where it was killed."""
    process = os.fork()
    if not process:
        status = 1
        try:
            sys.stdout = sys.stderr = open(output, "w", encoding="utf-8")  # noqa: SIM115 - the process's own
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def config_of(grid: Grid, env_steps: int = FIRST, **changes: Any) -> CellConfig:
    config = grid.resolve(KEY)
    return config.model_copy(
        update={"task": config.task.model_copy(update={"env_steps": env_steps}), **changes}
    )


def run(config: CellConfig, results: Path, **execution: Any) -> None:
    run_cell(
        config, results / CELL, Execution(torch.device("cpu"), **{"checkpoint_seconds": 1e9, **execution})
    )


def half_a_run(config: CellConfig, results: Path) -> None:
    """A checkpoint after every epoch, and death as the last epoch's numbers are in the log."""
    scalars = RunRecord.scalars

    def last_words(record: RunRecord, *arguments: Any, **place: int) -> None:
        scalars(record, *arguments, **place)
        if record.env_steps == 100 * HALF:
            while not has_checkpoint(results / CELL / "checkpoint"):  # it is written while training goes on
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGKILL)

    RunRecord.scalars = last_words  # in a process of its own
    run(config, results, checkpoint_seconds=0.0)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def effective(path: Path) -> list[dict[str, Any]]:
    """The events without the clock."""
    return [
        {name: value for name, value in event.items() if name not in ("wall_seconds", "seq")}
        for event in read_events(path)
    ]
