"""The `summary.json` of a completed cell, made by hand."""

from __future__ import annotations

from typing import Any

from dima.config.grid import CellKey

TASKS = {
    "push-mass": ("PushMass", "toy", 4000, False),
    "halfcheetah-2x3": ("HalfCheetah-2x3", "mamujoco", 1_000_000, True),
    "ant-2x4": ("Ant-2x4", "mamujoco", 1_000_000, True),
    "bottle-cap": ("BottleCap", "bidexhands", 300_000, True),
}


def made_summary(key: CellKey, mean: float, budget: int) -> dict[str, Any]:
    return {
        "format": 1,
        "grid": "trial",
        "task": key.task,
        "method": key.method,
        "seed": key.seed,
        "status": "completed",
        "suite": TASKS[key.task][1],
        "engine": "native",
        "lineage": "mujoco 4.0.0, preset paper",
        "env_steps": budget,
        "budget": budget,
        "epochs": 15,
        "final": {
            "grid_step": budget,
            "env_steps": budget,
            "mean": mean,
            "std": 1.0,
            "episodes": 2,
            "returns": [mean - 1, mean + 1],
        },
        "mean_of_last_five": mean - 2,
        "config_hash": "c0ffee",
        "attempts": 1,
        "wall_seconds": 100.5,
        "provenance": [
            {
                "commit": "abc123",
                "dirty": False,
                "image": "none",
                "lock": "10cc",
                "hardware": "CPU, 2 cores, no GPU",
                "device": "cpu",
                "python": "3.11.7",
                "versions": {"torch": "2.13.0"},
            }
        ],
    }
