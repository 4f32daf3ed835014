"""How fast methods learn on one GPU: DIMA's targets, the pace of any methods, or a profile of kernels.

    python -m benchmarks.gpu --json gpu.json
    python -m benchmarks.gpu --method dima-fast mamba mappo
    python -m benchmarks.gpu --method dima dima-swift --compute fast
    python -m benchmarks.gpu --profile

Every measurement runs in a process of its own, the most important first. One that fails reports its reason
and the others continue; one for which `--minutes` leaves no time is reported as missing. The first takes at
most 25 s, at toy size; if it fails, nothing else starts.

Targets (`benchmarks.gpu_learner`, `benchmarks.gpu_targets`): presets `reference` and `fast`, each run eagerly
and as CUDA graphs (with compiled parts in `fast`). Epochs learn from a full replay memory, the cell from what
it has collected; its minutes are extrapolated from at most 100 epochs. Kernels are compiled for the first
path that needs them and reused by the other processes, except for the cell, which compiles its own. Four
seeds train at once with and without CUDA's MPS.

`--method` (`benchmarks.gpu_pace`) times whole epochs of methods as configured and prints rows for
workflow/reference/speed.yaml; `--profile` (`benchmarks.gpu_profile`) profiles the updates of one.

Without a GPU, `--device cpu --sizes toy` shows that the command works; no graphs are recorded there.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.gpu_pace import pace_line, speed_row
from benchmarks.gpu_processes import PACE, PROFILE, Bench, FailedError, NotMeasuredError
from benchmarks.gpu_profile import profile_text
from benchmarks.gpu_targets import (
    AGAIN,
    BEST,
    CELL,
    FAST_EAGER,
    FIRST,
    GRAPHS,
    PEN,
    PLAIN,
    SERVED,
    TOGETHER,
    WARM,
    Found,
    epoch,
    reason_without,
    row_line,
    verdicts,
)
from benchmarks.method_cells import TASKS, method_cell
from benchmarks.timing import command, shown, spread, write_result
from dima.errors import UserError

EPOCHS = 5
FIRST_SECONDS, METHOD_SECONDS = 25.0, 300.0
"""Limits of the first part, and of one method of `--method` or `--profile`."""
CELL_SECONDS = 90.0
CELL_STEPS = {"paper": (5_000, 1_000, 100), "toy": (100, 50, 6)}
"""Environment steps of the cell's first epoch and of each later one, and the most later ones."""
TIMED = {
    FIRST: ["--sizes", "toy", "--compute", "reference", "--epochs", "2"],
    BEST: ["--compute", "fast", "--epochs", str(EPOCHS)],
    PLAIN: ["--compute", "reference", "--eager", "--epochs", "2"],
    GRAPHS: ["--compute", "reference", "--epochs", str(EPOCHS)],
    AGAIN: ["--compute", "reference"],
    WARM: ["--compute", "fast"],
    FAST_EAGER: ["--compute", "fast", "--eager", "--epochs", "2"],
}
TASK_OF_PEN = {"paper": "pen", "toy": TASKS["toy"]}


class Measurements:
    """Results by name, each printed as soon as it is there.

    Attributes:
        found: numbers, or the reason for none under `missing` or `failed`.
    """

    def __init__(self) -> None:
        self.found: dict[str, Found] = {}

    def take(self, name: str, measurement: Callable[[], Found], line: Callable[[str, Found], str]) -> bool:
        """Make a measurement and print it with `line`; returns whether it has numbers."""
        started = time.monotonic()
        try:
            found = measurement()
        except NotMeasuredError as error:
            found = {"missing": str(error)}
        except FailedError as error:
            found = {"failed": str(error)}
        self.found[name] = found | {"wall_seconds": time.monotonic() - started}
        reason = f"FAILED: {found['failed']}" if "failed" in found else found.get("missing")
        print(f"{name}: {reason}" if reason else line(name, found), flush=True)
        return reason is None


def against_targets(bench: Bench, sizes: str) -> dict[str, Found]:
    """Every measurement of the targets, the most important first."""
    taken = Measurements()

    def timed(name: str) -> Callable[[], Found]:
        return lambda: bench.start(TIMED[name]).result()

    def cell() -> Found:
        steps = cell_steps(sizes, taken.found[BEST])
        return bench.start(["--compute", "fast", "--cell-steps", str(steps)], cache="cell").result()

    measurements = {
        FIRST: lambda: bench.start(TIMED[FIRST], cache="first", seconds=FIRST_SECONDS).result(),
        BEST: timed(BEST),
        CELL: cell,
        PLAIN: timed(PLAIN),
        TOGETHER: lambda: bench.together(TIMED[BEST], service=False),
        SERVED: lambda: bench.together(TIMED[BEST], service=True),
        GRAPHS: timed(GRAPHS),
        AGAIN: timed(AGAIN),
        WARM: timed(WARM),
        PEN: lambda: bench.start([*TIMED[BEST], "--task", TASK_OF_PEN[sizes]]).result(),
        FAST_EAGER: timed(FAST_EAGER),
    }
    for name, measurement in measurements.items():
        if not taken.take(name, measurement, line_of) and name == FIRST:
            without = {"missing": "not measured: the first part has no result"}
            return dict.fromkeys(measurements, without) | taken.found
    return taken.found


def cell_steps(sizes: str, best: Found) -> int:
    """Environment steps of the cell: as many epochs as fit into `CELL_SECONDS` at the pace of `best`."""
    first, each, most = CELL_STEPS[sizes]
    fit = most if reason_without(best) else int(CELL_SECONDS / epoch(best))
    return first + each * max(5, min(most, fit))


def line_of(name: str, found: Found) -> str:
    """A measurement of the targets, as it is printed."""
    words = [found["path"]] if "path" in found else [f"{'with' if found['mps'] else 'without'} CUDA MPS"]
    if name in (TOGETHER, SERVED):
        words += [f"{len(seconds)} epochs in {sum(seconds):.2f} s" for seconds in found["epoch_seconds"]]
    if "warm_up_seconds" in found:
        words.append(
            f"set up {found['set_up_seconds']:.1f} s, first epoch {found['first_epoch_seconds']:.1f} s"
        )
    if "stage_seconds" in found:
        words.append(f"an epoch {shown(spread(found['epoch_seconds']), '.3f')} s")
        words += [
            f"{stage} {statistics.median(seconds):.3f} s" for stage, seconds in found["stage_seconds"].items()
        ]
        words.append(f"host waits {found['host_synchronisations']['epoch']} times an epoch")
    if name == CELL:
        waiting = f"{found['waiting_for_evaluation_seconds']:.1f} s of them waiting for evaluations"
        words.append(f"{found['env_steps']:,} steps, {waiting}")
    return f"{name}: " + "; ".join(words + found["remarks"])


def of_methods(
    bench: Bench, module: str, options: argparse.Namespace, line: Callable[[str, Found], str]
) -> dict[str, Found]:
    """Run the module for every method, in the order given."""
    taken = Measurements()
    for method in options.method:
        given = {"--method": method, "--task": options.task, "--compute": options.compute}
        arguments = [word for name, value in given.items() if value for word in (name, value)]
        taken.take(method, partial(_of_method, bench, module, arguments), line)
    return taken.found


def _of_method(bench: Bench, module: str, arguments: Sequence[str]) -> Found:
    return bench.start(arguments, module=module, seconds=METHOD_SECONDS).result()


def driver() -> str | None:
    """Version of NVIDIA's driver, if nvidia-smi is installed."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return said[0] if said else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write JSON; returns 1 if a measurement failed, 2 for bad input or no GPU, else 0."""
    options = _options(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            "There is no GPU here; --device cpu --sizes toy shows on a CPU that the command works.",
            file=sys.stderr,
        )
        return 2
    try:
        for method in options.method or ():
            method_cell(method, options.sizes, task=options.task, compute=options.compute)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    started = time.monotonic()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        written = _measured(Bench(options.device, options.sizes, options.minutes, Path(folder)), options)
    found = written["measurements"]
    done = [one for one in found.values() if "device" in one]
    machine = {name: done[0][name] if done else None for name in ("device", "torch", "cuda")} | {
        "driver": driver()
    }
    minutes = (time.monotonic() - started) / 60
    print(
        f"\n{', '.join(f'{name} {value}' for name, value in machine.items() if value)}; {minutes:.1f} minutes"
    )
    write_result(options.json, machine | {"sizes": options.sizes, "minutes": minutes} | written)
    return int(any("failed" in one for one in found.values()))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command(".gpu", "Measure how fast methods learn on one GPU.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--sizes",
        choices=TASKS,
        default="paper",
        help="the paper's, or toy sizes that take seconds (default: %(default)s)",
    )
    parser.add_argument(
        "--minutes", type=float, default=9.0, help="limit of everything (default: %(default)s)"
    )
    parser.add_argument("--method", nargs="+", help="time epochs of these methods instead")
    parser.add_argument("--task", help="for --method (default: halfcheetah-2x3, or push-mass at toy sizes)")
    parser.add_argument(
        "--compute",
        choices=("reference", "fast"),
        help="preset of computing for --method (default: the method's own)",
    )
    parser.add_argument("--profile", action="store_true", help="profile --method, or dima-fast, instead")
    options = parser.parse_args(arguments)
    options.method = options.method or (["dima-fast"] if options.profile else None)
    if (options.task or options.compute) and not options.method:
        parser.error("--task and --compute go with --method or --profile")
    return options


def _measured(bench: Bench, options: argparse.Namespace) -> Found:
    """Measure and print what the options ask for; returns the result."""
    if options.profile:
        return {"measurements": of_methods(bench, PROFILE, options, profile_text)}
    if options.method:
        found = of_methods(bench, PACE, options, pace_line)
        rows = [speed_row(one) for one in found.values() if not reason_without(one)]
        if options.sizes == "paper" and rows:
            print("\nFor workflow/reference/speed.yaml:", *rows, sep="\n")
        return {"measurements": found}
    found = against_targets(bench, options.sizes)
    rows = verdicts(found, comparable=options.device == "cuda" and options.sizes == "paper")
    print("\nwhat | value | target | met", "---|---|---|---", *map(row_line, rows), sep="\n")
    return {"targets": rows, "measurements": found}


if __name__ == "__main__":
    sys.exit(main())
