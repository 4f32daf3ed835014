"""How much of a MAPPO cell's wall time is neither learner nor evaluation.

The log, the status, the checkpoints and the record.

    python -m benchmarks.cell_overhead --json cell_overhead.json

The cell runs with the parameters of the paper's grid to a smaller budget, in a folder that is removed, with a
checkpoint after every epoch instead of one in five minutes. What happens once, before its first epoch and
after its last, is counted apart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch

import dima.cell.run
from benchmarks.harl import TASKS, cell
from benchmarks.timing import Stopwatch, write_result
from dima.cell.methods import build_learner
from dima.cell.run import Execution, run_cell
from dima.config import CellConfig
from dima.experience.evaluate import EvaluationWorlds
from dima.learning.learner import Learner


def measure(config: CellConfig) -> dict[str, Any]:
    """Wall seconds of the cell, of its epochs, its evaluations, the rest between them, and once before and
    after; the rest's share.
    """
    evaluation = Stopwatch(EvaluationWorlds.evaluate)
    epochs: list[Stopwatch] = []

    def build(config: CellConfig, device: torch.device) -> Learner:
        learner = build_learner(config, device)
        epochs.append(Stopwatch(learner.run_epoch))
        learner.run_epoch = epochs[0]
        return learner

    with (
        TemporaryDirectory() as folder,
        patch.object(EvaluationWorlds, "evaluate", lambda *arguments: evaluation(*arguments)),
        patch.object(dima.cell.run, "build_learner", build),
    ):
        started = time.perf_counter()
        run_cell(config, Path(folder), Execution(torch.device("cpu"), checkpoint_seconds=0))
        whole = time.perf_counter() - started
        running = json.loads((Path(folder) / "summary.json").read_text(encoding="utf-8"))["wall_seconds"]
    rest = running - epochs[0].seconds - evaluation.seconds
    return {
        "task": config.task.name,
        "env_steps": config.task.env_steps,
        "epochs": epochs[0].calls,
        "evaluations": evaluation.calls,
        "seconds": {
            "whole": whole,
            "epochs": epochs[0].seconds,
            "evaluations": evaluation.seconds,
            "rest": rest,
            "once": whole - running,
        },
        "rest_share": rest / running,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write it as JSON where asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cell_overhead",
        description="What a cell costs beside learner and evaluation.",
    )
    parser.add_argument("--task", choices=TASKS, default="halfcheetah-2x3")
    parser.add_argument(
        "--steps",
        type=int,
        default=40_000,
        help="the cell's budget of environment steps (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    config = cell(options.task)
    found = measure(
        config.model_copy(update={"task": config.task.model_copy(update={"env_steps": options.steps})})
    )
    print(", ".join(f"{name} {seconds:.2f} s" for name, seconds in found["seconds"].items()))
    print(
        f"neither learner nor evaluation: {found['rest_share']:.2%} of the wall time of {found['epochs']} epochs"
    )
    if options.json:
        write_result(options.json, found)


if __name__ == "__main__":
    main()
