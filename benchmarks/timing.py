"""What the commands share: arguments, tables, a stopwatch, medians, JSON files."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from dima.record.provenance import provenance

VERDICT = {None: "", True: "yes", False: "no"}


def command(module: str, description: str) -> argparse.ArgumentParser:
    """The parser of `python -m benchmarks.<module>`, with `--json`."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks{module}", description=description)
    parser.add_argument("--json", type=Path, help="write the result to this file")
    return parser


def print_head(head: str) -> None:
    """The first two lines of a table whose columns are separated by "|"."""
    print(head, "|".join(["---"] * (head.count("|") + 1)), sep="\n", flush=True)


class Elapsed:
    """Minutes and load of a measurement, from when it is made."""

    def __init__(self) -> None:
        self._started, self._load = time.time(), os.getloadavg()

    def printed(self) -> dict[str, Any]:
        """What a result says of them, printed too."""
        minutes, load = (time.time() - self._started) / 60, (self._load, os.getloadavg())
        before, after = load[0][0], load[1][0]
        print(f"\n{minutes:.1f} minutes; load {before:.1f} before, {after:.1f} after, {os.cpu_count()} cores")
        return {"minutes": minutes, "load_before_and_after": load}


class Stopwatch:
    """A callable that adds up the wall time of its calls [s].

    Attributes:
        seconds: wall time so far.
        calls: number of calls so far.
    """

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self.seconds = 0.0
        self.calls = 0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return self._call(*arguments, **named)
        finally:
            self.seconds += time.perf_counter() - started
            self.calls += 1


def finish(device: torch.device) -> None:
    """Wait until the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(call: Callable[[], Any], device: torch.device) -> float:
    """Wall time of a call, until the device has finished its work."""
    finish(device)
    started = time.perf_counter()
    call()
    finish(device)
    return time.perf_counter() - started


def measured_on(device: torch.device) -> dict[str, Any]:
    """Name of the GPU, or "CPU", and the versions of torch and CUDA."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def shown(found: Mapping[str, float], style: str) -> str:
    """A `spread` as "median (least to greatest)", each number in the format `style`."""
    return f"{found['median']:{style}} ({found['min']:{style}} to {found['max']:{style}})"


def write_result(path: Path | None, result: Mapping[str, Any]) -> None:
    """Write commit, hardware, versions and `result` as JSON; without a path do nothing."""
    if path is None:
        return
    origin = provenance("cpu", None)
    named = {name: origin[name] for name in ("commit", "dirty", "hardware", "python", "versions")}
    named["processors"] = len(os.sched_getaffinity(0))
    path.write_text(json.dumps(named | dict(result), indent=1) + "\n", encoding="utf-8")
