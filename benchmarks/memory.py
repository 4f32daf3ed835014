"""Peak memory of an epoch's learning on a CPU, beyond what the process held before. Linux only.

    python -m benchmarks.memory agents 24

prints the bytes of one point, measured in a fresh process; `python -m benchmarks.scaling` asks for all
points. A small point runs first, so that code which is loaded or compiled once is not counted; then the
kernel's high-water mark is reset, and every part of an epoch is called once. The C library has to return
freed blocks at once, or the mark would include what it keeps.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.contenders import Dima
from benchmarks.growth import AXES, Point, base
from benchmarks.workload import PARTS, Sizes, random_data

PROCESS = Path("/proc/self")
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}


def measured_apart(point: Point) -> int:
    """`peak` of the point in bytes, from a process of its own.

    Raises:
        CalledProcessError: it failed; its standard error is shown.
    """
    command = [sys.executable, "-m", "benchmarks.memory", point.axis, str(point.size)]
    done = subprocess.run(command, env=os.environ | ALLOCATOR, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout)


def peak(sizes: Sizes) -> int:
    """Peak resident bytes of weights, data and one call of every part, beyond those held before."""
    gc.collect()
    before = _resident("VmRSS")
    (PROCESS / "clear_refs").write_text("5", encoding="ascii")  # resets the high-water mark
    _call_every_part(sizes)
    return _resident("VmHWM") - before


def _call_every_part(sizes: Sizes) -> None:
    contender = Dima(sizes, random_data(sizes))
    for part in PARTS:
        getattr(contender, part)()


def _resident(name: str) -> int:
    """A line of the process's status, in bytes."""
    lines = (PROCESS / "status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _few_rows(sizes: Sizes) -> Sizes:
    return sizes._replace(rows=dict.fromkeys(PARTS, 2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the bytes of one point."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory", description="Measure the peak memory of learning."
    )
    parser.add_argument("axis", choices=AXES)
    parser.add_argument("size", type=int)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    _call_every_part(_few_rows(base()))
    print(peak(Point(options.axis, options.size).sizes(base())))


if __name__ == "__main__":
    main()
