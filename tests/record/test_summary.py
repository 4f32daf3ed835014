"""What the summary of a run says of its evaluations, counted by hand."""

from __future__ import annotations

import pytest

from dima.config import CellConfig
from dima.record.events import Event
from dima.record.summary import summarize


def evaluation(step: int, *returns: float) -> list[Event]:
    return [
        {"kind": "evaluation", "env_steps": step + 1, "grid_step": step, "episode": episode, "return": value}
        for episode, value in enumerate(returns)
    ]


def test_a_summary_tells_the_last_evaluation_and_the_mean_of_the_last_five(tiny_cell: CellConfig) -> None:
    means = [900.0, 1.0, 2.0, 3.0, 4.0, 15.0]
    events = [
        event
        for number, mean in enumerate(means)
        for event in evaluation(100 * number, mean - 2.0, mean + 2.0)
    ]
    scalars: Event = {"kind": "scalars", "env_steps": 600, "group": "actor", "values": {"loss": 1.0}}
    summary = summarize(tiny_cell, [*events, scalars], {"attempt": 2, "starts": []}, "closed form", 7, 8.0)
    final = {
        "grid_step": 500,
        "env_steps": 501,
        "mean": 15.0,
        "std": 2.0,
        "episodes": 2,
        "returns": [13.0, 17.0],
    }
    assert summary["final"] == final
    assert summary["mean_of_last_five"] == pytest.approx((1 + 2 + 3 + 4 + 15) / 5)
    assert (summary["env_steps"], summary["epochs"], summary["attempts"], summary["wall_seconds"]) == (
        501,
        7,
        2,
        8.0,
    )
