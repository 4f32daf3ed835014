"""SIGTERM, which Slurm and others send before they stop a job."""

from __future__ import annotations

import math
import signal
import time
from types import FrameType

SAME = 10.0
"""Seconds within which a second signal is the same request: Slurm signals all processes of a job, and
Apptainer passes its own signal to the processes inside."""


class StopSignal:
    """Remembers that SIGTERM came, so that training ends at a checkpoint; a later one interrupts at once."""

    def __init__(self) -> None:
        self._first = math.inf

    @property
    def received(self) -> bool:
        """Whether SIGTERM came."""
        return self._first < math.inf

    def listen(self) -> None:
        """Handle SIGTERM from now on; call it in the main thread."""
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self.received:
            self._first = time.monotonic()
            print("Asked to stop: a checkpoint is written after this round of training.", flush=True)
        elif time.monotonic() - self._first > SAME:
            signal.default_int_handler(number, frame)
