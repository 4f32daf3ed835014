"""The CPU time of an epoch's learning in this checkout over that in another checkout of this repository.

    python -m benchmarks.before ../dima-before --grid cpu --json before.json

Each checkout runs in a process of its own on one thread; their calls alternate. Each part of the method is
called with random data of the grid's sizes, as in `python -m benchmarks`; an epoch is the sum of its calls of
each part, without environment steps, replay sampling and evaluation.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PARTS = ("state_decoder", "denoiser", "reward_model", "imagination", "behavior")
TASK, SHAPES = "halfcheetah-2x3", (17, 2, 19, 3)


def work(grid: str) -> None:
    """In a checkout's process: print an epoch's calls, then a call's CPU seconds for each part read."""
    import torch

    from benchmarks.contenders import Dima
    from benchmarks.workload import CONFIG, Sizes, full_rows, random_data
    from dima.config.grid import CellKey, load_grid
    from dima.learning.compute import prepare_process

    torch.set_num_threads(1)
    parameters: Any = load_grid(grid, CONFIG).resolve(CellKey(TASK, "dima", 1)).parameters
    prepare_process(parameters.compute, torch.device("cpu"))
    sizes = Sizes(parameters, SHAPES, full_rows(parameters))
    contender = Dima(sizes, random_data(sizes))
    print(*(sizes.calls_per_epoch(part) for part in PARTS), flush=True)
    for line in sys.stdin:
        started = time.process_time()
        getattr(contender, line.strip())()
        print(time.process_time() - started, flush=True)


class Checkout:
    """A process with the code of the checkout in `folder`, at the sizes of a grid."""

    def __init__(self, folder: Path, grid: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-P", str(Path(__file__).resolve()), "--work", grid]
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.calls = [float(count) for count in self._answer().split()]

    def _answer(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"The process of {self._process.args!r} ended.")
        return answer

    def seconds(self, part: str) -> float:
        """CPU time of one call."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        print(part, file=self._process.stdin, flush=True)
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def compare(before: Checkout, now: Checkout, rounds: int) -> dict[str, Any]:
    """Seconds of a call before and now, and their ratio (`spread`), by part and for the epoch."""
    from benchmarks.timing import spread

    taken: dict[str, list[tuple[float, float]]] = {part: [] for part in PARTS}
    for number in range(-1, rounds):  # a first call does more
        for part in PARTS:
            order = (before, now) if number % 2 else (now, before)
            found = {id(side): side.seconds(part) for side in order}
            taken[part] += [(found[id(before)], found[id(now)])] if number >= 0 else []
    taken["epoch"] = [
        tuple(
            sum(count * taken[part][number][side] for part, count in zip(PARTS, now.calls, strict=True))
            for side in (0, 1)
        )
        for number in range(rounds)
    ]  # type: ignore[misc] - two of them
    return {
        part: {
            "before_seconds": spread([old for old, _ in pairs]),
            "now_seconds": spread([new for _, new in pairs]),
            "ratio": spread([new / old for old, new in pairs]),
        }
        for part, pairs in taken.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    from benchmarks.timing import command, print_head, shown, write_result

    parser = command(".before", "Compare an epoch's CPU time with another checkout.")
    parser.add_argument("checkout", type=Path, help="a checkout of the version to compare with")
    parser.add_argument("--grid", default="cpu", help="whose sizes (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=7, help="pairs of calls of every part (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    if not (options.checkout / "benchmarks" / "contenders.py").is_file():
        parser.error(f"{options.checkout} is no checkout of this repository")
    sides = [
        Checkout(folder.resolve(), options.grid) for folder in (options.checkout, Path(__file__).parents[1])
    ]
    found = compare(sides[0], sides[1], options.rounds)
    for side in sides:
        side.close()
    print_head("part | before s | now s | now over before (least to greatest)")
    for part, row in found.items():
        seconds = (f"{row[side]['median']:.4f}" for side in ("before_seconds", "now_seconds"))
        print(" | ".join([part, *seconds, shown(row["ratio"], ".2f")]))
    result = {"grid": options.grid, "task": TASK, "rounds": options.rounds, "parts": found}
    write_result(options.json, result)


if __name__ == "__main__":
    work(sys.argv[2]) if sys.argv[1:2] == ["--work"] else main()
