"""The summary of a finished cell: its final evaluation and provenance, all that tables read."""

from __future__ import annotations

from typing import Any

import numpy as np

from dima.config import CellConfig
from dima.record.events import Event

FORMAT = 1


def summarize(
    config: CellConfig,
    events: list[Event],
    history: dict[str, Any],
    lineage: str,
    epochs: int | None,
    wall_seconds: float,
) -> dict[str, Any]:
    """The content of `summary.json`.

    Where only the mean of the final evaluation is known, deviation and single returns are null.

    Args:
        config: of the cell.
        events: effective events of the finished run.
        history: the content of `provenance.json`.
        lineage: of the environment: physics engine and version.
        epochs: rounds of collecting and learning; None where the method does not count them.
        wall_seconds: of all processes together.
    """
    evaluations: dict[int, list[Event]] = {}
    for event in events:
        if event["kind"] == "evaluation":
            evaluations.setdefault(event["grid_step"], []).append(event)
    grid_steps = sorted(evaluations)
    means = [float(np.mean([event["return"] for event in evaluations[step]])) for step in grid_steps]
    last = evaluations[grid_steps[-1]]
    returns = None if "episodes" in last[0] else [event["return"] for event in last]
    return {
        "format": FORMAT,
        "grid": config.grid,
        "task": config.task.name,
        "method": config.method,
        "seed": config.seed,
        "status": "completed",
        "suite": config.task.suite,
        "engine": config.engine,
        "lineage": lineage,
        "env_steps": last[-1]["env_steps"],
        "budget": config.task.env_steps,
        "epochs": epochs,
        "final": {
            "grid_step": grid_steps[-1],
            "env_steps": last[-1]["env_steps"],
            "mean": means[-1],
            "std": None if returns is None else float(np.std(returns)),
            "episodes": last[0]["episodes"] if returns is None else len(returns),
            "returns": returns,
        },
        "mean_of_last_five": float(np.mean(means[-5:])),
        "config_hash": config.digest(),
        "attempts": history["attempt"],
        "wall_seconds": round(wall_seconds, 3),
        "provenance": history["starts"],
        **({"continued": history["continued"]} if "continued" in history else {}),
    }
