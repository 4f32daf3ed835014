"""Several seeds of a method in one job, which then share its GPU.

Each in a process of its own beside the first one's.

Snakemake runs the cells of a grouped Slurm job one after another. The first to be run starts the others, and
these are found finished when their turn comes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dima.errors import StoppedError

SEEDS_BESIDE = "DIMA_SEEDS_BESIDE"
"""Environment variable that the workflow sets in such a job: the seeds of its cells, with commas."""
OUTPUT = "beside.log"


@contextmanager
def trained_beside(folders: Mapping[int, Path], stopped_status: int) -> Iterator[None]:
    """Meanwhile, train other seeds with this process's own options.

    Their output is added to `beside.log` in their folders.

    How one of them ends otherwise is its own affair: it has said so in its record, and is asked for again.

    Args:
        folders: of the cells, by seed.
        stopped_status: the exit status that says "stopped at a checkpoint, as asked".

    Raises:
        StoppedError: one of them did.
    """
    environ = {name: value for name, value in os.environ.items() if name != SEEDS_BESIDE}
    processes: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for seed, folder in folders.items():
            folder.mkdir(parents=True, exist_ok=True)
            command = [
                sys.executable,
                "-m",
                "dima",
                *sys.argv[1:],
                "--seed",
                str(seed),
            ]  # the last one counts
            with (folder / OUTPUT).open("ab") as output:
                processes[seed] = subprocess.Popen(
                    command, env=environ, stdout=output, stderr=subprocess.STDOUT
                )
        yield
    except KeyboardInterrupt:
        for process in processes.values():
            process.terminate()
        raise
    finally:
        statuses = {seed: process.wait() for seed, process in processes.items()}
    stopped = [str(seed) for seed, status in statuses.items() if status == stopped_status]
    if stopped:
        raise StoppedError(
            f"Stopped at a checkpoint beside this cell: seed {', '.join(stopped)}; the same command continues."
        )
