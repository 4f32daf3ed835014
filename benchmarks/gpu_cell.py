"""The pace of a whole DIMA cell, from a shortened one."""

from __future__ import annotations

import resource
from typing import Any

import torch

from benchmarks.timed_cell import TimedCell
from dima.config import CellConfig
from dima.config.grid import merge, validate

WARM_UP = 2
"""Epochs in which kernels are compiled and graphs are recorded."""


def whole_cell(config: CellConfig, device: torch.device, steps: int) -> dict[str, Any]:
    """Run a cell of `steps` environment steps, with evaluations, log and checkpoint.

    The steady pace is that of everything between the end of the warm-up and the end of the last epoch:
    collecting, learning, recording, and waiting for evaluations.
    """
    shortened = validate(
        CellConfig, merge(config.model_dump(mode="json"), {"task": {"env_steps": steps}}), "shortened"
    )
    cell = TimedCell()
    cell.run(shortened, device)
    (warm_steps, warm), (last_steps, last) = cell.ends[WARM_UP - 1], cell.ends[-1]
    return {
        "env_steps": last_steps,
        "steady_env_steps": last_steps - warm_steps,
        "epochs": cell.epochs.calls,
        "seconds": {"until_warm": warm - cell.started, "steady": last - warm, "after": cell.ended - last},
        "waiting_for_evaluation_seconds": sum(watch.seconds for watch in cell.evaluations),
        "remaining_env_steps_of_the_whole": config.task.env_steps - warm_steps,
        "peak_bytes": peak_bytes(device),
    }


def peak_bytes(device: torch.device) -> dict[str, int]:
    """Peak memory so far: of tensors and of what torch holds on a GPU; on a CPU of the process."""
    if device.type == "cuda":
        return {
            "allocated": torch.cuda.max_memory_allocated(device),
            "held": torch.cuda.max_memory_reserved(device),
        }
    return {"held": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
