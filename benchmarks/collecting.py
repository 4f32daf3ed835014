"""What stepping the environment costs a DIMA cell.

Wall time of 1,000 steps, the environment's part of it, and their part of an epoch.

    python -m benchmarks.collecting --json collecting.json

One world, stepped with the cell's actor. Cells of the grid `quick` run whole epochs; those of `paper`, whose
epochs take most of an hour on a CPU, collect alone, which an untrained actor does as fast as a trained one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Stopwatch, shown, spread, write_result
from benchmarks.workload import CONFIG
from dima.config import CellConfig
from dima.config.grid import CellKey, load_grid
from dima.experience.collect import Sampling
from dima.learning.dima_learner import DimaLearner

CELLS = {"quick": ("push-mass", "halfcheetah-2x3"), "paper": ("halfcheetah-2x3", "ant-4x2")}
LEARNING = "quick"
HEAD = "grid | task | seconds for 1,000 steps | of them the environment | its engine alone | collecting, of an epoch"


class Policies:
    """Stands in the place of `_collect_with`, and counts the seconds in which policies act.

    Attributes:
        seconds: so far.
    """

    def __init__(self, collect_with: Callable[[Sampling], dict[str, float]]) -> None:
        self._collect_with = collect_with
        self.seconds = 0.0

    def __call__(self, sampling: Sampling) -> dict[str, float]:
        watch = Stopwatch(sampling)
        report = self._collect_with(watch)
        self.seconds += watch.seconds
        return report


def measure(config: CellConfig, epochs: int, learning: bool) -> dict[str, Any]:
    """Shares of wall time in `epochs` epochs after the first, whose warm-up is another one.

    Without `learning` they only collect.
    """
    with closing(DimaLearner(config, torch.device("cpu"))) as learner:
        (learner.run_epoch if learning else learner._collect)()
        environment, policies = learner._collector.environment, Policies(learner._collect_with)
        environment._advance = engine = Stopwatch(environment._advance)
        environment.play = playing = Stopwatch(environment.play)
        learner._collect_with = policies
        learner._collect = collecting = Stopwatch(learner._collect)
        epoch = Stopwatch(learner.run_epoch if learning else learner._collect)
        watches = (epoch, collecting, playing, engine, policies)
        taken = []
        for _ in range(epochs):
            before = [watch.seconds for watch in watches]
            steps = learner.env_steps
            epoch()
            seconds = [watch.seconds - start for watch, start in zip(watches, before, strict=True)]
            taken.append((learner.env_steps - steps, *seconds))
    return {
        "grid": config.grid,
        "task": config.task.name,
        "epochs": epochs,
        "seconds_per_1000_steps": spread([1000 * collected / steps for steps, _, collected, *_ in taken]),
        "environment_share": spread(
            [(played - acted) / collected for *_, collected, played, _, acted in taken]
        ),
        "engine_share": spread([advanced / collected for *_, collected, _, advanced, _ in taken]),
        "epoch_share": spread([collected / whole for _, whole, collected, *_ in taken]) if learning else None,
    }


def table_line(row: dict[str, Any]) -> str:
    """A row of `measure` as a line of the table whose head is `HEAD`."""
    shares = [
        "" if row[name] is None else shown(row[name], ".1%")
        for name in ("environment_share", "engine_share", "epoch_share")
    ]
    return " | ".join([row["grid"], row["task"], shown(row["seconds_per_1000_steps"], ".3f"), *shares])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, write it as JSON where asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.collecting", description="What stepping the environment costs a DIMA cell."
    )
    parser.add_argument("--grids", nargs="+", choices=CELLS, default=tuple(CELLS))
    parser.add_argument(
        "--epochs", type=int, default=3, help="measured epochs of every cell (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(HEAD, "|".join(["---"] * (HEAD.count("|") + 1)), sep="\n", flush=True)
    rows = []
    for grid in options.grids:
        for task in CELLS[grid]:
            config = load_grid(grid, CONFIG).resolve(CellKey(task, "dima", 1))
            rows.append(measure(config, options.epochs, learning=grid == LEARNING))
            print(table_line(rows[-1]), flush=True)
    if options.json:
        write_result(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
