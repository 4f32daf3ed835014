"""Wall time of 1,000 environment steps of a DIMA cell, the environment's share, and their share of an epoch.

    python -m benchmarks.collecting --json collecting.json

One world, stepped with the cell's actor, untrained, which acts as fast as a trained one. Only cells of the
grid `quick` also run epochs: one of `paper` takes most of an hour on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import torch

from benchmarks.stages import watched
from benchmarks.timing import Stopwatch, command, print_head, shown, spread, write_result
from benchmarks.workload import CONFIG
from dima.behavior.networks import DirectPolicy
from dima.config import CellConfig
from dima.config.grid import CellKey, load_grid
from dima.experience.collect import Collector
from dima.learning.dima_learner import DimaLearner

CELLS = {"quick": ("push-mass", "halfcheetah-2x3"), "paper": ("halfcheetah-2x3", "ant-4x2")}
LEARNING = "quick"
HEAD = "grid | task | seconds for 1,000 steps | of them the environment | collecting, of an epoch"


def measure(config: CellConfig, epochs: int, learning: bool) -> dict[str, Any]:
    """Wall time of `epochs` epochs after the first, which warms up; `epoch_share` only with `learning`."""
    with closing(DimaLearner(config, torch.device("cpu"))) as learner:
        taken = collect_epochs(config, learner, epochs)
        shares = epoch_shares(learner, epochs) if learning else None
    return {
        "grid": config.grid,
        "task": config.task.name,
        "epochs": epochs,
        "seconds_per_1000_steps": spread([1000 * collected / steps for steps, collected, _ in taken]),
        "environment_share": spread([environment / collected for _, collected, environment in taken]),
        "epoch_share": spread(shares) if shares else None,
    }


def collect_epochs(config: CellConfig, learner: DimaLearner, epochs: int) -> list[tuple[int, float, float]]:
    """Environment steps of each epoch, their seconds, and those of them in which the policy does not act."""
    collector = Collector(config, learner.parameters.schedule)
    acting = Stopwatch(DirectPolicy(learner.actor_critic.actor))
    taken, env_steps = [], 0
    with closing(collector.environment) as environment:
        environment.play = playing = Stopwatch(environment.play)
        collecting = Stopwatch(collector.collect)
        for _ in range(1 + epochs):
            before = collecting.seconds, playing.seconds - acting.seconds
            steps, _ = collecting(acting, env_steps, lambda part, continues: None)
            env_steps += steps
            taken.append(
                (steps, collecting.seconds - before[0], playing.seconds - acting.seconds - before[1])
            )
    return taken[1:]


def epoch_shares(learner: DimaLearner, epochs: int) -> list[float]:
    """The part of environment steps in the wall time of each epoch."""
    collecting, epoch, shares = Stopwatch(lambda work: work()), Stopwatch(learner.run_epoch), []

    def watch(stage: str, work: Callable[[], Any]) -> Any:
        return collecting(work) if stage == "collect" else work()

    with watched(learner, watch):
        for _ in range(1 + epochs):
            before = collecting.seconds, epoch.seconds
            epoch()
            shares.append((collecting.seconds - before[0]) / (epoch.seconds - before[1]))
    return shares[1:]


def table_line(row: dict[str, Any]) -> str:
    """A row of `measure` as a line of the table whose head is `HEAD`."""
    shares = [
        "" if row[name] is None else shown(row[name], ".1%") for name in ("environment_share", "epoch_share")
    ]
    return " | ".join([row["grid"], row["task"], shown(row["seconds_per_1000_steps"], ".3f"), *shares])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = command(".collecting", "Time the environment steps of a DIMA cell.")
    parser.add_argument("--grids", nargs="+", choices=CELLS, default=tuple(CELLS))
    parser.add_argument(
        "--epochs", type=int, default=3, help="measured epochs of every cell (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print_head(HEAD)
    rows = []
    for grid in options.grids:
        for task in CELLS[grid]:
            config = load_grid(grid, CONFIG).resolve(CellKey(task, "dima", 1))
            rows.append(measure(config, options.epochs, learning=grid == LEARNING))
            print(table_line(rows[-1]), flush=True)
    write_result(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
