"""SIGTERM, sent to this process for real."""

from __future__ import annotations

import os
import signal

import pytest

import dima.cell.stop_signal
from dima.cell.stop_signal import StopSignal


def test_a_request_that_comes_twice_is_one_and_a_later_one_interrupts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = StopSignal()
    stop.listen()
    try:
        assert not stop.received
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.received
        monkeypatch.setattr(dima.cell.stop_signal, "SAME", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
