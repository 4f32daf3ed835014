"""The pace of a whole DIMA cell, from a shortened one."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch

import dima.cell.run
from benchmarks.timing import Stopwatch
from dima.cell.methods import build_learner
from dima.cell.run import Execution, run_cell
from dima.cell.side_evaluation import Evaluations
from dima.config import CellConfig
from dima.config.grid import merge, validate
from dima.learning.learner import Learner

WARM_UP = 2
"""Epochs in which kernels are compiled and graphs recorded."""


def whole_cell(config: CellConfig, device: torch.device, steps: int) -> dict[str, Any]:
    """Run a cell of `steps` environment steps, with evaluations, log and checkpoint, in a folder that is
    removed.

    The steady pace is that of all between the ends of the warm-up's last epoch and of the last one:
    collecting, learning, recording, and what evaluations hold up.
    """
    shortened = validate(
        CellConfig, merge(config.model_dump(mode="json"), {"task": {"env_steps": steps}}), "shortened"
    )
    ends: list[tuple[int, float]] = []
    waiting: list[Stopwatch] = []

    def build(config: CellConfig, device: torch.device) -> Learner:
        learner = build_learner(config, device)
        run_epoch = learner.run_epoch

        def noted() -> Any:
            scalars = run_epoch()
            ends.append((learner.env_steps, time.perf_counter()))
            return scalars

        learner.run_epoch = noted
        return learner

    def evaluations(*arguments: Any, **named: Any) -> Evaluations:
        made = Evaluations(*arguments, **named)
        made.start, made.take = Stopwatch(made.start), Stopwatch(made.take)
        waiting.extend((made.start, made.take))
        return made

    with (
        TemporaryDirectory() as folder,
        patch.object(dima.cell.run, "build_learner", build),
        patch.object(dima.cell.run, "Evaluations", evaluations),
    ):
        started = time.perf_counter()
        run_cell(shortened, Path(folder), Execution(device))
        ended = time.perf_counter()
    (warm_steps, warm), (last_steps, last) = ends[WARM_UP - 1], ends[-1]
    return {
        "env_steps": last_steps,
        "steady_env_steps": last_steps - warm_steps,
        "epochs": len(ends),
        "seconds": {"until_warm": warm - started, "steady": last - warm, "after": ended - last},
        "waiting_for_evaluation_seconds": sum(watch.seconds for watch in waiting),
        "remaining_env_steps_of_the_whole": config.task.env_steps - warm_steps,
        "peak_bytes": peak_bytes(device),
    }


def peak_bytes(device: torch.device) -> dict[str, int]:
    """Most memory so far: of tensors and of what torch holds for them on a GPU (its context is not in it), of
    the process on a CPU.
    """
    if device.type == "cuda":
        return {
            "allocated": torch.cuda.max_memory_allocated(device),
            "held": torch.cuda.max_memory_reserved(device),
        }
    return {"held": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
