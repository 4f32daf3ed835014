"""SIGTERM: what Slurm and others send some time before they take a machine away."""

from __future__ import annotations

import signal
from types import FrameType


class StopSignal:
    """Remembers that SIGTERM came, so that training can end at a checkpoint. A second one interrupts at once.

    Attributes:
        received: whether it came.
    """

    def __init__(self) -> None:
        self.received = False

    def listen(self) -> None:
        """From now on, in the main thread of this process."""
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            signal.default_int_handler(number, frame)
        self.received = True
        print("Asked to stop: a checkpoint is written after this round of training.", flush=True)
