"""Sibling seeds: several seeds of a method in one job, which share its GPU, each in a process of its own.

Snakemake runs the cells of a grouped Slurm job one after another. The first starts its siblings, which are
found finished when their turn comes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dima.errors import STOPPED, StoppedError

LOG = "sibling-seeds.log"
"""File in a sibling's folder that its output is added to."""


@contextmanager
def sibling_seeds(folders: Mapping[int, Path], options: Sequence[str]) -> Iterator[None]:
    """Train other seeds at the same time, and wait for them at the end.

    A sibling that fails does not fail this cell: its own record says why, and Snakemake runs it again.

    Args:
        folders: of the siblings, by seed.
        options: of `dima train`, but for the seed.

    Raises:
        StoppedError: a sibling stopped at a checkpoint, as asked.
    """
    processes: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for seed, folder in folders.items():
            folder.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "dima", "train", *options, f"--seed={seed}"]
            with (folder / LOG).open("ab") as log:
                processes[seed] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        yield
    except KeyboardInterrupt:
        for process in processes.values():
            process.terminate()
        raise
    finally:
        statuses = {seed: process.wait() for seed, process in processes.items()}
    stopped = [str(seed) for seed, status in statuses.items() if status == STOPPED]
    if stopped:
        seeds = ", ".join(stopped)
        raise StoppedError(f"Sibling seeds stopped at a checkpoint: {seeds}; the same command continues.")
