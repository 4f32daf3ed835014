"""The global generators inside and outside of the block."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch

from dima.baselines.global_streams import GlobalStreams

CPU = torch.device("cpu")


def draw() -> list[float]:
    """An odd number of normal draws, so that Python and numpy each keep a second one for later."""
    return [random.gauss(0, 1), random.random(), np.random.normal(), np.random.rand(), torch.randn(()).item()]


def test_streams_are_those_that_harl_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    tools: Any = pytest.importorskip("harl.utils.envs_tools")
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    with GlobalStreams(0, CPU):  # what HARL does to the global generators ends with the block
        tools.set_seed({"seed_specify": True, "seed": 11})
        expected = [draw(), draw()]
    with GlobalStreams(11, CPU):
        assert [draw(), draw()] == expected


def test_inside_and_outside_do_not_move_each_other() -> None:
    with GlobalStreams(1, CPU):
        undisturbed = [draw() for _ in range(4)]
    with GlobalStreams(2, CPU):
        other = [draw() for _ in range(2)]

    with GlobalStreams(2, CPU):
        streams = GlobalStreams(1, CPU)
        outside = [draw()]
        with streams:
            inside = [draw(), draw()]
        outside.append(draw())
        with suppress(KeyError), streams:
            inside.append(draw())
            raise KeyError
        with streams:
            inside.append(draw())
    assert inside == undisturbed
    assert outside == other


def test_saved_streams_continue_with_their_cached_normal_draws() -> None:
    streams = GlobalStreams(3, CPU)
    with streams:
        draw()
    saved = streams.state_dict()
    with streams:
        expected = [draw(), draw()]

    resumed = GlobalStreams(4, CPU)
    resumed.load_state_dict(saved)
    with resumed:
        assert [draw(), draw()] == expected
