"""What may befall Slurm jobs while a grid runs: signals, kills, a requeue, a cancellation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

# Snakemake that asks for its jobs every second: the plugin waits ten seconds longer each time that none has
# ended
SNAKEMAKE = """
import asyncio
from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

RemoteExecutor.sleep = lambda self: asyncio.sleep(1)
main()
"""


class Disturbance:
    """What befalls the two seeds of a task and method, which a Slurm job trains side by side, while a grid
    runs.

    Seeds are first halted at a certain step (SIGSTOP): so cells may be short, and the machine slow.
    """

    def __init__(self, folder: Path, name: str, snakemake: subprocess.Popen[bytes]) -> None:
        self.cells = [folder / f"results/quick/cells/{name}/seed-{seed}" for seed in (1, 2)]
        self.group = f"seeds-quick-{name.replace('/', '-')}"
        self.snakemake = snakemake

    def stop_all_then_kill_one(self) -> tuple[Path, Path]:
        """SIGTERM, as before a preemption: checkpoints, exit, requeue. Then one of the seeds is killed.

        Returns the folders of that one and of the other.
        """
        job = self._hold_at([300, 300])
        assert {"cpu=2", "gres/gpu=1"} <= set(_squeue(job, "-O tres:100").split(","))
        _slurm("scancel", "--signal=TERM", job)
        _slurm("scancel", "--signal=CONT", job)
        self._wait_until(lambda: self._said("state") == ["interrupted", "interrupted"])
        stopped_at = self._said("env_steps")
        self._wait_until(lambda: _squeue(job, "-o %T") == "PENDING")
        # Slurm would wait two minutes, so as not to take word of the old start's end for the new one's
        time.sleep(5)
        _slurm("scontrol", "update", f"JobId={job}", "StartTime=now")
        assert self._hold_at([steps + 200 for steps in stopped_at]) == job  # its own number
        (beside,) = [
            number
            for number, cell in enumerate(self.cells)
            if b"continuing" in _bytes(cell / "sibling-seeds.log")
        ]
        os.kill(
            self._said("process")[1 - beside], signal.SIGKILL
        )  # the job's first; the cluster is this machine
        _slurm("scancel", "--signal=CONT", job)
        return self.cells[1 - beside], self.cells[beside]

    def kill_all(self) -> None:
        """Every process of the job at once, as where a machine is lost."""
        job = self._hold_at([1000, 1000])
        environs = {int(path.parent.name): path for path in Path("/proc").glob("[0-9]*/environ")}
        for process in [
            process
            for process, path in environs.items()
            if f"SLURM_JOB_ID={job}".encode() in _variables(path)
        ]:
            with suppress(ProcessLookupError):  # it has ended with its parent
                os.kill(process, signal.SIGKILL)

    def cancel(self) -> None:
        """The job is cancelled, by somebody else: not the workflow, which tries it again."""
        _slurm("scancel", self._hold_at([300, 300]))

    def _hold_at(self, steps: list[int]) -> str:
        """Number of the job, once each of its seeds has taken so many steps, and is stopped there."""
        held: set[int] = set()

        def hold() -> bool:
            for number, (state, taken) in enumerate(
                zip(self._said("state"), self._said("env_steps"), strict=True)
            ):
                if number not in held and state == "running" and taken >= steps[number]:
                    os.kill(self._said("process")[number], signal.SIGSTOP)
                    held.add(number)
            return len(held) == len(steps)

        self._wait_until(hold)
        job, other = (json.loads((cell / "lock").read_text())["job"] for cell in self.cells)
        assert job == other
        assert self.group in _squeue(job, "-o %k")
        return job

    def _said(self, field: str) -> list[Any]:
        return [json.loads(_bytes(cell / "status.json") or b"{}").get(field, 0) for cell in self.cells]

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert self.snakemake.poll() is None, "the grid ended before all of it was done"
            time.sleep(0.05)


def _slurm(*command: str) -> None:
    subprocess.run(command, check=True, timeout=60)


def _squeue(job: str, form: str) -> str:
    """What Slurm says of the job, or nothing once it does not know it."""
    command = ["squeue", "-h", "-j", job, *form.split()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _variables(environ: Path) -> list[bytes]:
    """Those with which a process was started; none of one that has ended."""
    with suppress(OSError):
        return environ.read_bytes().split(b"\0")
    return []
