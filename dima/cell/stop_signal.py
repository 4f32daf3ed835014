"""SIGTERM: what Slurm and others send some time before they take a machine away."""

from __future__ import annotations

import math
import signal
import time
from types import FrameType

SAME = 10.0
"""Seconds: Slurm signals all processes of a job, and Apptainer passes its own on to those inside, so that one
request may come twice."""


class StopSignal:
    """Remembers that SIGTERM came, so that training can end at a checkpoint.

    One that comes later (`SAME`) interrupts at once.
    """

    def __init__(self) -> None:
        self._first = math.inf

    @property
    def received(self) -> bool:
        """Whether it came."""
        return self._first < math.inf

    def listen(self) -> None:
        """From now on, in the main thread of this process."""
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self.received:
            self._first = time.monotonic()
            print("Asked to stop: a checkpoint is written after this round of training.", flush=True)
        elif time.monotonic() - self._first > SAME:
            signal.default_int_handler(number, frame)
