"""The processes of `benchmarks.gpu`: one measurement each, a limit of time, and several at once with CUDA's Multi-Process Service."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

SEEDS = (1, 2, 3, 4)
LONGEST = 240.0
"""Seconds that one measurement may take."""
NO_TIME = "not measured: no time left"


class FailedError(Exception):
    """A measurement came to no result; the message says why."""


class NoTimeError(Exception):
    """There was no time left for a measurement."""


class Child:
    """A process of `benchmarks.gpu_learner`, ended with all that it started when its time is over.

    Args:
        arguments: of its command line.
        environment: its variables.
        seconds: that are left to the command.
        errors: file for its standard error.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], seconds: float, errors: Path) -> None:
        if seconds <= 0:
            raise NoTimeError(NO_TIME)
        self._is_last = seconds < LONGEST
        self._out_of_time = False
        self._errors = errors
        command = [sys.executable, "-m", "benchmarks.gpu_learner", *arguments]
        with errors.open("w", encoding="utf-8") as file:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True, env=environment, start_new_session=True
            )
        if self._process.stdin is None or self._process.stdout is None:
            raise TypeError("pipes were asked for")
        self._input, self._output = self._process.stdin, self._process.stdout
        self._timer = threading.Timer(min(seconds, LONGEST), self._end_of_time)
        self._timer.start()

    def _end_of_time(self) -> None:
        self._out_of_time = True
        self.end()

    def end(self) -> None:
        """Kill it, if it still runs."""
        self._timer.cancel()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait_until_ready(self) -> None:
        """Read until it says so. Raises what `result` does where it ends instead."""
        if not any(line == "ready\n" for line in self._output):
            self.result()

    def go(self) -> None:
        """Let it go on from where it is ready; where it has ended, `result` says so."""
        with suppress(BrokenPipeError):
            print(file=self._input, flush=True)

    def result(self) -> dict[str, Any]:
        """What it found, when it has ended.

        Raises:
            NoTimeError: the command's time is over.
            FailedError: it failed, with the last line of its standard error, or took too long.
        """
        try:
            said = self._output.read().splitlines()
            status = self._process.wait()
        finally:
            self.end()
        if self._out_of_time and self._is_last:
            raise NoTimeError(NO_TIME)
        if self._out_of_time:
            raise FailedError(f"it took longer than {LONGEST:.0f} s")
        if status != 0:
            complaints = [line.strip() for line in self._errors.read_text(encoding="utf-8").splitlines() if line.strip()]
            raise FailedError(complaints[-1] if complaints else f"exit status {status}")
        return json.loads(said[-1]) | {"remarks": [line for line in said[:-1] if "eagerly" in line]}


class Bench:
    """Starts measurements as long as there is time.

    Args:
        device: of the measurements.
        sizes: of the cell.
        minutes: that all of them may take.
        folder: for compiled kernels and what the processes complain of.
    """

    def __init__(self, device: str, sizes: str, minutes: float, folder: Path) -> None:
        self._common = ["--device", device, "--sizes", sizes]
        self._deadline = time.monotonic() + 60 * minutes
        self._folder = folder
        self._started = 0

    def start(self, arguments: Sequence[str], *, cache: str = "shared", **variables: str) -> Child:
        """A measurement in its process, which finds the kernels that others with the same `cache` have compiled."""
        self._started += 1
        kernels = {f"{name}_CACHE_DIR": str(self._folder / cache / name) for name in ("TORCHINDUCTOR", "TRITON")}
        return Child(
            [*self._common, *arguments],
            os.environ | kernels | variables,
            self._deadline - time.monotonic(),
            self._folder / f"errors-{self._started}.txt",
        )

    def together(self, arguments: Sequence[str]) -> dict[str, Any]:
        """The same measurement for all seeds at once, with CUDA MPS where it can be started; their epochs begin together."""
        with mps(self._folder) as variables:
            children = []
            try:
                children += [self.start([*arguments, "--waits", "--seed", str(seed)], **variables) for seed in SEEDS]
                for child in children:
                    child.wait_until_ready()
                for child in children:
                    child.go()
                results = [child.result() for child in children]
            finally:
                for child in children:
                    child.end()
        return {
            "mps": bool(variables),
            "epoch_seconds": [result["epoch_seconds"] for result in results],
            "held_bytes": [result["peak_bytes"]["held"] for result in results],
            "remarks": [remark for result in results for remark in result["remarks"]],
        }


@contextmanager
def mps(folder: Path) -> Iterator[dict[str, str]]:
    """CUDA's Multi-Process Service, of this command alone: the variables of processes that use it, none where it does not work."""
    control = shutil.which("nvidia-cuda-mps-control")
    variables = {"CUDA_MPS_PIPE_DIRECTORY": str(folder / "pipe"), "CUDA_MPS_LOG_DIRECTORY": str(folder / "log")}
    if control is None or not torch.cuda.is_available():
        yield {}
        return
    for path in variables.values():
        Path(path).mkdir()
    environment = os.environ | variables
    probe = [sys.executable, "-c", "import torch; torch.zeros(1, device='cuda')"]
    try:
        works = all(_succeeds(command, environment) for command in ([control, "-d"], probe))
        yield variables if works else {}
    finally:
        _succeeds([control], environment, "quit\n")


def _succeeds(command: Sequence[str], environment: Mapping[str, str], given: str = "") -> bool:
    try:  # a server that stays behind must not hold our pipes open
        done = subprocess.run(  # noqa: S603 - our own commands
            command, env=environment, input=given, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
