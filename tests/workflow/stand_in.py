"""Stands in for `python -m dima` in a staged folder, where it is called `dima.py`: trains nothing, writes what the rules declare."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

HERE = sys.path.pop(0)  # python -m looks here first; without it `dima` is the package


def train(grid: str, task: str, method: str, seed: str, threads: str) -> None:
    folder = Path("results", grid, "cells", task, method, f"seed-{seed}")
    folder.mkdir(parents=True, exist_ok=True)
    failing = os.environ.get("FAILING") == f"{task}/{method}/seed-{seed}"
    status = {"state": "diverged" if failing else "completed", "env_steps": 4000, "latest_return": 12.5, "wall_seconds": 8.0}
    (folder / "status.json").write_text(json.dumps({**status, "updated": time.time(), "message": "no number" if failing else None}))
    print(f"{sys.prefix} {os.environ['OMP_NUM_THREADS']} {threads}")
    if failing:
        sys.exit("dima: the loss is not finite")
    (folder / "summary.json").write_text(json.dumps({"made": time.time_ns()}))


def assemble(command: str, grid: str) -> None:
    from dima.analysis.paths import figure_paths, table_paths
    from dima.grid import load_grid

    for path in {"tables": table_paths, "figures": figure_paths}[command](load_grid(grid), Path("results")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path.name} at {time.time_ns()}")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    options = {name.removeprefix("--"): value for name, value in zip(arguments[::2], arguments[1::2], strict=True)}
    if command == "train":
        train(**options)
    else:
        assemble(command, **options)
