"""Time of an update of our HARL cells compared with HARL alone, and the environment's share of ours.

    python -m benchmarks.harl --json harl.json

An update is `episode_length` steps of every world and the learning from them, with the cell's parameters.
Updates of the two sides alternate in one process; a ratio is HARL's time over ours, with HARL's worlds in one
process and in one process each. No evaluation, no files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import torch

from benchmarks.environments import clock_of
from benchmarks.harl_alone import VECTORS, HarlAlone
from benchmarks.timing import VERDICT, Elapsed, Stopwatch, command, print_head, shown, spread, write_result
from benchmarks.workload import CONFIG
from dima.baselines.harl_on_policy import HarlOnPolicyLearner
from dima.config import CellConfig, HarlOnPolicyParameters
from dima.config.grid import CellKey, plain_grid

TASKS = ("push-mass", "halfcheetah-2x3", "ant-4x2")
LEAST_RATIO = 1.0
MOST_STEPPING = 0.5
HEAD = (
    "HARL's worlds | task | CPU over ours | at least 1 | wall over ours | at least 1 | steps of our wall time"
    " | below 50 % | of HARL's"
)


class Seconds(NamedTuple):
    """Of one update: CPU time with worker processes, wall time, and its part that stepped the worlds."""

    cpu: float
    wall: float
    stepping: float


class Side(NamedTuple):
    """Who makes updates: one of them, the stopwatch around its worlds' steps, and its worker processes."""

    update: Callable[[], Any]
    stepping: Stopwatch
    workers: Sequence[int] = ()

    def measure(self) -> Seconds:
        """One update."""
        cpu, wall, stepping = self._cpu(), time.perf_counter(), self.stepping.seconds
        self.update()
        return Seconds(self._cpu() - cpu, time.perf_counter() - wall, self.stepping.seconds - stepping)

    def _cpu(self) -> float:
        return time.process_time() + sum(time.clock_gettime(clock_of(worker)) for worker in self.workers)


def cell(task: str) -> CellConfig:
    """MAPPO on the task as in the paper's grid, seed 1."""
    return plain_grid([task], ["mappo"], [1], CONFIG).resolve(CellKey(task, "mappo", 1))


def our_side(learner: HarlOnPolicyLearner) -> Side:
    """One epoch of the learner is one update."""
    learner.worlds.step = Stopwatch(learner.worlds.step)
    return Side(learner.run_epoch, learner.worlds.step)


def their_side(harl: HarlAlone) -> Side:
    """One round of HARL's `run()` is one update."""
    harl.envs.step = Stopwatch(harl.envs.step)
    return Side(harl.update, harl.envs.step, harl.workers)


def compare(tasks: Sequence[str], pairs: int) -> list[dict[str, Any]]:
    """A row for every task and every vector of HARL's, from `pairs` pairs of updates each."""
    return [compare_cell(cell(task), vector, pairs) for task in tasks for vector in VECTORS]


def compare_cell(config: CellConfig, vector: str, pairs: int) -> dict[str, Any]:
    """The row of one cell: an update of each side to warm up, then `pairs` pairs, their order alternating."""
    parameters = config.parameters
    if not isinstance(parameters, HarlOnPolicyParameters):
        raise TypeError(f"{config.method} is not HARL's")
    with (
        closing(HarlAlone(config, vector)) as harl,  # first, because it may fork
        closing(HarlOnPolicyLearner(config, torch.device("cpu"))) as learner,
    ):
        sides = (our_side(learner), their_side(harl))
        for side in sides:
            side.measure()
        taken = []
        for pair in range(pairs):
            seconds = {number: sides[number].measure() for number in ((0, 1) if pair % 2 else (1, 0))}
            taken.append((seconds[0], seconds[1]))
    size = {
        "worlds": parameters.rollout_threads,
        "steps": parameters.rollout_threads * parameters.episode_length,
    }
    return {"task": config.task.name, "vector": vector} | size | {"pairs": pairs} | summary(taken)


def summary(taken: Sequence[tuple[Seconds, Seconds]]) -> dict[str, Any]:
    """Ratios, shares and verdicts of pairs (ours, HARL's); a verdict looks at the median."""
    cpu, wall = (
        spread([getattr(theirs, clock) / getattr(ours, clock) for ours, theirs in taken])
        for clock in ("cpu", "wall")
    )
    share, their_share = (
        spread([pair[side].stepping / pair[side].wall for pair in taken]) for side in (0, 1)
    )
    return {
        "our_seconds": {name: spread([getattr(ours, name) for ours, _ in taken]) for name in Seconds._fields},
        "cpu_ratio": cpu,
        "wall_ratio": wall,
        "stepping_share": share,
        "stepping_share_of_harl": their_share,
        "cpu_met": cpu["median"] >= LEAST_RATIO,
        "wall_met": wall["median"] >= LEAST_RATIO,
        "stepping_met": share["median"] < MOST_STEPPING,
    }


def table_line(row: dict[str, Any]) -> str:
    """A row of `compare` as a line of the table whose head is `HEAD`."""
    cells = [
        row["vector"], row["task"],
        shown(row["cpu_ratio"], ".2f"), VERDICT[row["cpu_met"]],
        shown(row["wall_ratio"], ".2f"), VERDICT[row["wall_met"]],
        shown(row["stepping_share"], ".0%"), VERDICT[row["stepping_met"]],
        shown(row["stepping_share_of_harl"], ".0%"),
    ]  # fmt: skip
    return " | ".join(cells)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = command(".harl", "Compare the time of our HARL cells with HARL alone.")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--pairs", type=int, default=7, help="pairs of updates (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    elapsed = Elapsed()
    print_head(HEAD)
    rows = []
    for task in options.tasks:
        for row in compare([task], options.pairs):
            rows.append(row)
            print(table_line(row), flush=True)
    write_result(options.json, elapsed.printed() | {"rows": rows})


if __name__ == "__main__":
    main()
