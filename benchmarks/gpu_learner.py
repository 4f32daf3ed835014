"""One measurement of `benchmarks.gpu`, in a process of its own; its last line is the result as JSON.

An epoch is timed without its environment steps: the replay memory is filled once with repeated steps of a
warm-up, since it is full in most of a long run, and every epoch learns from that. The policy learns from the
first epoch on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

import dima.learning.compute
from benchmarks.counts import HostQuestions
from benchmarks.gpu_cell import WARM_UP, peak_bytes, whole_cell
from benchmarks.method_cells import TASKS, learning_at_once, method_cell
from benchmarks.stages import learning, watched
from benchmarks.timing import measured_on, seconds_of
from dima.config import CellConfig
from dima.experience.replay import Replay
from dima.experience.transitions import Episode
from dima.learning.dima_learner import DimaLearner
from dima.learning.native_learner import Watch

COMPARED = 20
"""Updates of every part whose losses are reported, at most."""

STAGES = ("world_model", "policy")
"""Of an epoch's learning. The world model's three parts share a graph."""

Reports = dict[str, Tensor]


def cell(sizes: str, compute: str, seed: int, task: str | None = None) -> CellConfig:
    """DIMA with another preset of computing, all of whose parts learn from the first epoch on."""
    return learning_at_once(method_cell("dima", sizes, task=task, seed=seed, compute=compute))


def epochs(
    config: CellConfig, device: torch.device, count: int, *, eager: bool, waits: bool
) -> dict[str, Any]:
    """Seconds of epochs and stages, waits of the host, peak memory, first losses, digest of warm weights.

    Args:
        config: of the cell.
        device: where it learns.
        count: timed epochs; 0: losses and digest only.
        eager: neither graphs nor compiled parts.
        waits: say "ready" after the warm-up and wait for a line, so that several processes begin together.
    """
    started = time.perf_counter()
    with closing(DimaLearner(config, device, graphs=not eager)) as learner:
        collected = learner.collect()
        fill(learner.replay)
        losses: dict[str, list[Tensor]] = {}
        seconds: dict[str, list[float]] = {}
        set_up = time.perf_counter() - started
        with watched(learner, learning(collected, keeping(losses))):
            warm_up = [seconds_of(learner.run_epoch, device) for _ in range(WARM_UP)]
        found: dict[str, Any] = {
            "set_up_seconds": set_up,
            "first_epoch_seconds": warm_up[0],
            "warm_up_seconds": sum(warm_up),
            "losses": {part: torch.stack(kept).tolist() for part, kept in losses.items()},
            "weights": digest(learner),
            "not_recorded": [part for part in learner.REPORTED if not learner.is_recorded(part)],
        }
        if waits:
            print("ready", flush=True)
            input()
        if count:
            with watched(learner, learning(collected, timing(seconds, device))):
                found["epoch_seconds"] = [seconds_of(learner.run_epoch, device) for _ in range(count)]
            found |= {"stage_seconds": seconds, "peak_bytes": peak_bytes(device)}
            found["host_synchronisations"] = host_synchronisations(learner, collected, device)
    return found


def fill(replay: Replay) -> None:
    """Store the episodes that are there again and again, until the memory is full."""
    state = replay.state_dict()
    stored = {name: values.clone() for name, values in state["data"].items()}
    first = state["episodes"][:, 0].tolist(), state["episodes"].sum(dim=1).tolist()
    episodes = [
        Episode(**{name: values[start:end] for name, values in stored.items()})
        for start, end in zip(*first, strict=True)
    ]
    while replay.size < replay.config.capacity:
        for episode in episodes:
            replay.append(episode)


def keeping(losses: dict[str, list[Tensor]]) -> Watch:
    """Keep what the first updates of every part report."""

    def watch(stage: str, call: Callable[[], Reports]) -> Reports:
        reports = call()
        for part, reported in reports.items():
            kept = losses.setdefault(part, [])
            kept += reported[: max(0, COMPARED - len(kept))]
        return reports

    return watch


def timing(seconds: dict[str, list[float]], device: torch.device) -> Watch:
    """Add the wall time of every stage of every epoch to its list."""

    def watch(stage: str, call: Callable[[], Reports]) -> Reports:
        found: list[Reports] = []
        seconds.setdefault(stage, []).append(seconds_of(lambda: found.append(call()), device))
        return found[0]

    return watch


def host_synchronisations(
    learner: DimaLearner, collected: dict[str, float], device: torch.device
) -> dict[str, int]:
    """How often the host waits for the device in an epoch's updates, and in all of it with its final read."""
    inside = 0
    with waits_of_the_host(device) as waits:

        def watch(stage: str, call: Callable[[], Reports]) -> Reports:
            nonlocal inside
            before = len(waits())
            reports = call()
            inside += len(waits()) - before
            return reports

        with watched(learner, learning(collected, watch)):
            learner.run_epoch()
        return {"updates": inside, "epoch": len(waits())}


@contextmanager
def waits_of_the_host(device: torch.device) -> Iterator[Callable[[], Sequence[str]]]:
    """A function that names the waits so far: CUDA's warnings, or on a CPU operators that would wait."""
    if device.type != "cuda":
        with HostQuestions() as questions:
            yield lambda: questions.names
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield lambda: [
                text for warning in caught if "called a synchronizing" in (text := str(warning.message))
            ]
        finally:
            torch.cuda.set_sync_debug_mode("default")


def digest(learner: DimaLearner) -> str:
    """SHA-256 of all weights."""
    found = hashlib.sha256()
    for module in (learner.world_model, learner.actor_critic.actor, learner.actor_critic.critic):
        for name, weight in sorted(module.state_dict().items()):
            found.update(name.encode() + weight.cpu().numpy().tobytes())
    return found.hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_learner", description="One measurement of benchmarks.gpu."
    )
    parser.add_argument("--device", type=torch.device, required=True)
    parser.add_argument("--sizes", choices=TASKS, required=True)
    parser.add_argument("--task")
    parser.add_argument("--compute", choices=("reference", "fast"), required=True)
    parser.add_argument("--eager", action="store_true", help="neither CUDA graphs nor compiled parts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=0, help="number of timed epochs")
    parser.add_argument("--waits", action="store_true", help="print ready and wait for a line before timing")
    parser.add_argument("--cell-steps", type=int, help="run a cell of this many environment steps instead")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    dima.learning.compute.prepare_process(options.compute, options.device)
    config = cell(options.sizes, options.compute, options.seed, options.task)
    graphs = options.device.type == "cuda" and not options.eager
    eager = options.eager and options.device.type == "cuda"
    described = dima.learning.compute.describe(config.compute, options.device, graphs=graphs, eager=eager)
    with torch.compiler.set_stance("force_eager") if eager else nullcontext():
        if options.cell_steps:
            found = whole_cell(config, options.device, options.cell_steps)
        else:
            found = epochs(config, options.device, options.epochs, eager=options.eager, waits=options.waits)
    origin = {"path": described, "task": config.task.name} | measured_on(options.device)
    print(json.dumps(origin | found), flush=True)


if __name__ == "__main__":
    main()
