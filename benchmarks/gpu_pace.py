"""Seconds of whole epochs of any method, for `benchmarks.gpu --method`; the last line is the result as JSON.

Every part learns from the first epoch on. After two epochs, in which kernels are compiled and graphs are
recorded, our methods' replay memory is filled with copies of its content, and epochs are timed with their
environment steps. For our methods, environment steps are also timed separately: a task with short episodes
has more epochs, not more steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from typing import Any

import torch
import yaml

import dima.learning.compute
from benchmarks.gpu_cell import WARM_UP, peak_bytes
from benchmarks.gpu_learner import fill, waits_of_the_host
from benchmarks.method_cells import TASKS, learning_at_once, method_cell
from benchmarks.stages import learning, watched
from benchmarks.timing import Stopwatch, measured_on, seconds_of, shown, spread
from dima.cell.methods import build_learner
from dima.config import CellConfig
from dima.experience.replay import Replay
from dima.learning.learner import Learner
from dima.learning.native_learner import NativeLearner
from dima.record.provenance import ROOT, commit_of

EPOCHS = 5
SECONDS = 60.0
"""No further epoch is timed after this long."""


def pace(config: CellConfig, device: torch.device) -> dict[str, Any]:
    """Seconds, environment steps, waits of the host and memory of epochs.

    `first_epoch_seconds` includes compilation; `epoch_seconds` and `epoch_steps` are of every timed epoch;
    `collecting_seconds` is the sum for environment steps, None for HARL's methods.
    """
    with closing(build_learner(config, device)) as learner:
        first = [seconds_of(learner.run_epoch, device) for _ in range(WARM_UP)]
        memory = getattr(learner, "replay", None)
        if isinstance(memory, Replay):
            fill(memory)
        timed = _timed_epochs(learner, device)
        return {
            "first_epoch_seconds": first[0],
            **timed,
            "host_waits": host_waits(learner, device),
            "peak_bytes": peak_bytes(device),
        }


def _timed_epochs(learner: Learner, device: torch.device) -> dict[str, Any]:
    """Seconds and environment steps of up to `EPOCHS` epochs."""
    seconds: list[float] = []
    steps: list[int] = []
    collecting = Stopwatch(lambda work: work())

    def watch(stage: str, work: Callable[[], Any]) -> Any:
        return collecting(work) if stage == "collect" else work()

    with watched(learner, watch) if isinstance(learner, NativeLearner) else nullcontext():
        while len(seconds) < EPOCHS and sum(seconds) < SECONDS:
            before = learner.env_steps
            seconds.append(seconds_of(learner.run_epoch, device))
            steps.append(learner.env_steps - before)
    return {
        "epoch_seconds": seconds,
        "epoch_steps": steps,
        "collecting_seconds": collecting.seconds if collecting.calls else None,
    }


def host_waits(learner: Learner, device: torch.device) -> int:
    """How often the host waits for the device in one more epoch, without environment steps for our methods.

    On a CPU this counts the operators that would wait on a GPU if their numbers were there; many numbers of
    HARL's methods are not, and `one_hot` reads its numbers on a CPU only.
    """
    own = (
        watched(learner, learning(learner.collect())) if isinstance(learner, NativeLearner) else nullcontext()
    )
    with own, waits_of_the_host(device) as waits:
        learner.run_epoch()
        return len(waits())


def pace_line(name: str, found: Mapping[str, Any]) -> str:
    """A method's pace, as it is printed."""
    seconds, steps = shown(spread(found["epoch_seconds"]), ".3f"), statistics.mean(found["epoch_steps"])
    words = [
        f"{found['task']}, preset {found['compute']}",
        f"an epoch {seconds} s of {steps:.0f} environment steps",
        f"1,000 steps {1000 * sum(found['epoch_seconds']) / sum(found['epoch_steps']):.3f} s",
        f"first epoch {found['first_epoch_seconds']:.1f} s",
        f"host waits {'at most ' if found['device'] == 'CPU' else ''}{found['host_waits']} times an epoch",
        f"{found['peak_bytes']['held'] / 1e9:.2f} GB",
    ]
    if found["collecting_seconds"] is not None:
        words[2] += f", {collecting_of_1000(found):.3f} of them without learning"
    return f"{name}: " + "; ".join(words)


def collecting_of_1000(found: Mapping[str, Any]) -> float:
    """Seconds that 1,000 environment steps take without learning."""
    return 1000 * found["collecting_seconds"] / sum(found["epoch_steps"])


def speed_row(found: Mapping[str, Any]) -> str:
    """A row of `dima.campaign.speed` as YAML, with environment steps separate if they were timed."""
    commit, _ = commit_of(ROOT)
    origin = f"commit {commit or 'unknown'}, torch {found['torch']}"
    own = found["collecting_seconds"] is not None
    learning = sum(found["epoch_seconds"]) - (found["collecting_seconds"] if own else 0.0)
    on_gpu = found["cuda"] is not None and found["device"] != "CPU"
    row = {
        "grid": "paper",
        "task": found["task"],
        "method": found["method"],
        "compute": found["compute"],
        "device": "GPU" if on_gpu else "CPU",
        "hardware": found["device"],
        "epoch_seconds": round(learning / len(found["epoch_seconds"]), 3),
        "thousand_steps_seconds": round(collecting_of_1000(found), 3) if own else None,
        "gigabytes": round(found["peak_bytes"]["held"] / 1e9, 1) if on_gpu else None,
        "of": "epochs",
        "source": f"python -m benchmarks.gpu --method {found['method']}, {origin}",
    }
    return "  - " + yaml.safe_dump(row, default_flow_style=True, sort_keys=False, width=1000).strip()


def print_found(
    measure: Callable[[CellConfig, torch.device], dict[str, Any]],
    module: str,
    arguments: Sequence[str] | None,
) -> None:
    """The command line of a module that measures one method: `measure` its cell, print the result as JSON."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description="One measurement of benchmarks.gpu."
    )
    parser.add_argument("--device", type=torch.device, required=True)
    parser.add_argument("--sizes", choices=TASKS, required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--task")
    parser.add_argument("--compute")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    config = learning_at_once(
        method_cell(options.method, options.sizes, task=options.task, compute=options.compute)
    )
    dima.learning.compute.prepare_process(config.compute, options.device)
    found = measure(config, options.device)
    origin = {"method": options.method, "task": config.task.name, "compute": config.compute}
    print(json.dumps(origin | measured_on(options.device) | found), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one method and print it."""
    print_found(pace, "benchmarks.gpu_pace", arguments)


if __name__ == "__main__":
    main()
