"""The processes of `benchmarks.gpu`: one measurement each, with a time limit, or several at once."""

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
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

SEEDS = (1, 2, 3, 4)
LONGEST = 240.0
"""Seconds that one measurement may take."""
LEARNER, PACE, PROFILE = "benchmarks.gpu_learner", "benchmarks.gpu_pace", "benchmarks.gpu_profile"
"""The modules that measure."""


class FailedError(Exception):
    """A measurement came to no result; the message says why."""


class NotMeasuredError(Exception):
    """A measurement was not made; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not measured: {reason}")


class NoTimeError(NotMeasuredError):
    """There was no time left for a measurement."""

    def __init__(self) -> None:
        super().__init__("no time left")


class Child:
    """A process that measures; it and its children are killed when its time is over.

    Args:
        arguments: the module and its arguments.
        environment: its variables.
        seconds: left to the whole command.
        errors: file for its standard error.
        longest: seconds that this measurement may take.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        seconds: float,
        errors: Path,
        longest: float,
    ) -> None:
        if seconds <= 0:
            raise NoTimeError
        self._longest = longest
        self._is_last = seconds < longest
        self._out_of_time = False
        self._errors = errors
        command = [sys.executable, "-m", *arguments]
        with errors.open("w", encoding="utf-8") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env=environment,
                start_new_session=True,
            )
        if self._process.stdin is None or self._process.stdout is None:
            raise TypeError("pipes were asked for")
        self._input, self._output = self._process.stdin, self._process.stdout
        self._timer = threading.Timer(min(seconds, longest), self._end_of_time)
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
        """Read until it prints "ready". If it ends instead, raises like `result`."""
        if not any(line == "ready\n" for line in self._output):
            self.result()

    def go(self) -> None:
        """Let it continue; if it has ended, `result` reports it."""
        with suppress(BrokenPipeError):
            print(file=self._input, flush=True)

    def result(self) -> dict[str, Any]:
        """Wait for its end and return the result.

        Raises:
            NoTimeError: the command's time is over.
            FailedError: it took too long, or failed: the last line of its standard error.
        """
        try:
            said = self._output.read().splitlines()
            status = self._process.wait()
        finally:
            self.end()
        if self._out_of_time and self._is_last:
            raise NoTimeError
        if self._out_of_time:
            raise FailedError(f"it took longer than {self._longest:.0f} s")
        if status != 0:
            complaints = [
                line.strip() for line in self._errors.read_text(encoding="utf-8").splitlines() if line.strip()
            ]
            raise FailedError(complaints[-1] if complaints else f"exit status {status}")
        return json.loads(said[-1]) | {"remarks": [line for line in said[:-1] if "eagerly" in line]}


class Bench:
    """Starts measurements until `minutes` are over; `folder` is for compiled kernels and standard errors."""

    def __init__(self, device: str, sizes: str, minutes: float, folder: Path) -> None:
        self._common = ["--device", device, "--sizes", sizes]
        self._deadline = time.monotonic() + 60 * minutes
        self._folder = folder
        self._started = 0

    @property
    def seconds_left(self) -> float:
        """Until all measurements have to be over."""
        return self._deadline - time.monotonic()

    def start(
        self,
        arguments: Sequence[str],
        *,
        module: str = LEARNER,
        cache: str = "shared",
        seconds: float | None = None,
        **variables: str,
    ) -> Child:
        """Start a measurement, which reuses kernels that others with the same `cache` have compiled.

        Args:
            arguments: of the module; they override device and sizes.
            module: that measures.
            cache: of compiled kernels.
            seconds: that it may take (default: `LONGEST`).
            variables: of its environment.
        """
        self._started += 1
        kernels = {
            f"{name}_CACHE_DIR": str(self._folder / cache / name) for name in ("TORCHINDUCTOR", "TRITON")
        }
        errors = self._folder / f"errors-{self._started}.txt"
        return Child(
            [module, *self._common, *arguments],
            os.environ | kernels | variables,
            self.seconds_left,
            errors,
            seconds or LONGEST,
        )

    def together(self, arguments: Sequence[str], *, service: bool) -> dict[str, Any]:
        """The same measurement for all seeds at once; with `service` under CUDA's MPS.

        Raises:
            NotMeasuredError: the service is not there, or does not start.
        """
        with mps(self._folder) if service else nullcontext({}) as variables:
            children = []
            try:
                children += [
                    self.start([*arguments, "--waits", "--seed", str(seed)], **variables) for seed in SEEDS
                ]
                for child in children:
                    child.wait_until_ready()
                for child in children:
                    child.go()
                results = [child.result() for child in children]
            finally:
                for child in children:
                    child.end()
        return {
            "mps": service,
            "epoch_seconds": [result["epoch_seconds"] for result in results],
            "held_bytes": [result["peak_bytes"]["held"] for result in results],
            "remarks": [remark for result in results for remark in result["remarks"]],
        }


@contextmanager
def mps(folder: Path) -> Iterator[dict[str, str]]:
    """CUDA's Multi-Process Service, for this command only; yields the variables of processes that use it.

    Raises:
        NotMeasuredError: it is not there, or does not start.
    """
    control = shutil.which("nvidia-cuda-mps-control")
    if not torch.cuda.is_available():
        raise NotMeasuredError("there is no GPU")
    if control is None:
        raise NotMeasuredError("there is no nvidia-cuda-mps-control here")
    variables = {
        "CUDA_MPS_PIPE_DIRECTORY": str(folder / "pipe"),
        "CUDA_MPS_LOG_DIRECTORY": str(folder / "log"),
    }
    for path in variables.values():
        Path(path).mkdir()
    environment = os.environ | variables
    probe = [sys.executable, "-c", "import torch; torch.zeros(1, device='cuda')"]
    try:
        if not all(_succeeds(command, environment) for command in ([control, "-d"], probe)):
            raise NotMeasuredError("nvidia-cuda-mps-control does not start a service that works here")
        yield variables
    finally:
        _succeeds([control], environment, "quit\n")


def _succeeds(command: Sequence[str], environment: Mapping[str, str], given: str = "") -> bool:
    try:  # a server that stays behind must not hold our pipes open
        done = subprocess.run(
            command,
            env=environment,
            input=given,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
