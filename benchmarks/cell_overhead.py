"""The share of a MAPPO cell's wall time outside learner and evaluation: log, status, checkpoints, record.

    python -m benchmarks.cell_overhead --json cell_overhead.json

The cell has the parameters of the paper's grid, a smaller budget, and a checkpoint after every epoch instead
of one in five minutes. What happens once, before its first epoch and after its last, is counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.harl import TASKS, cell
from benchmarks.timed_cell import TimedCell
from benchmarks.timing import command, write_result
from dima.config import CellConfig


def measure(config: CellConfig) -> dict[str, Any]:
    """Wall seconds: whole, epochs, evaluations, the rest between them, and once before and after.

    `rest_share` is the rest's part of the running cell.
    """
    cell = TimedCell()
    cell.run(config, torch.device("cpu"), checkpoint_seconds=0)
    start, take = cell.evaluations
    evaluations, whole = start.seconds + take.seconds, cell.ended - cell.started
    rest = cell.running - cell.epochs.seconds - evaluations
    return {
        "task": config.task.name,
        "env_steps": config.task.env_steps,
        "epochs": cell.epochs.calls,
        "evaluations": start.calls,
        "seconds": {
            "whole": whole,
            "epochs": cell.epochs.seconds,
            "evaluations": evaluations,
            "rest": rest,
            "once": whole - cell.running,
        },
        "rest_share": rest / cell.running,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write JSON."""
    parser = command(".cell_overhead", "Time what a cell does besides learning and evaluating.")
    parser.add_argument("--task", choices=TASKS, default="halfcheetah-2x3")
    parser.add_argument(
        "--steps", type=int, default=40_000, help="environment steps of the cell (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    config = cell(options.task)
    found = measure(
        config.model_copy(update={"task": config.task.model_copy(update={"env_steps": options.steps})})
    )
    print(", ".join(f"{name} {seconds:.2f} s" for name, seconds in found["seconds"].items()))
    share = f"{found['rest_share']:.2%} of the wall time of {found['epochs']} epochs"
    print(f"neither learner nor evaluation: {share}")
    write_result(options.json, found)


if __name__ == "__main__":
    main()
