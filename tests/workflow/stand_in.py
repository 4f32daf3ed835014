"""Stands in for `python -m dima` in a staged folder, where it is called `dima.py`: trains nothing, writes
what the rules declare."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

HERE = sys.path.pop(0)  # python -m looks here first; without it `dima` is the package


def train(grid: str, task: str, method: str, seed: str, **_: str) -> None:
    folder = Path("results", grid, "cells", task, method, f"seed-{seed}")
    folder.mkdir(parents=True, exist_ok=True)
    failing = os.environ.get("FAILING") == f"{task}/{method}/seed-{seed}"
    status = {
        "state": "diverged" if failing else "completed",
        "env_steps": 4000,
        "latest_return": 12.5,
        "wall_seconds": 8.0,
    }
    (folder / "status.json").write_text(
        json.dumps({**status, "updated": time.time(), "message": "no number" if failing else None})
    )
    print(f"{sys.prefix} {os.environ['OMP_NUM_THREADS']}")
    if os.environ.get("DYING") == f"{task}/{method}/seed-{seed}":
        with Path("deaths").open("a") as deaths:
            deaths.write("*")
        if Path("deaths").stat().st_size <= 2:
            os.kill(os.getpid(), signal.SIGKILL)
    if failing:
        sys.exit("dima: the loss is not finite")
    write_record(folder, grid, task, method, int(seed))


def write_record(folder: Path, grid: str, task: str, method: str, seed: int) -> None:
    """What a finished cell says of its configuration, in the form that cells have."""
    from dima.config.grid import CellKey, load_grid
    from dima.record.summary import summarize

    config = load_grid(grid).resolve(CellKey(task, method, seed))
    start = {
        "commit": None,
        "dirty": None,
        "image": "none",
        "lock": None,
        "hardware": "stand-in",
        "device": "cpu",
    }
    history = {"attempt": 1, "starts": [start], "finished": True}
    budget = config.task.env_steps
    evaluation = {
        "kind": "evaluation",
        "env_steps": budget,
        "grid_step": budget,
        "episode": 0,
        "return": 12.5,
    }
    summary = summarize(config, [evaluation], history, "stand-in", None, 8.0)
    (folder / "config.json").write_text(
        json.dumps({"digest": config.digest(), "config": config.model_dump(mode="json")})
    )
    (folder / "provenance.json").write_text(json.dumps(history))
    (folder / "summary.json").write_text(json.dumps({**summary, "made": time.time_ns()}))


def assemble(command: str, grid: str, of: str | None = None) -> None:
    from dima.analysis.paths import figure_paths, report_path, table_paths
    from dima.config.grid import load_grid

    report = {"report": lambda grid, results, of: [report_path(grid, results) / "index.html"]}
    if command == "report":  # replaced as a whole, by what is newer than all that it is made from
        shutil.rmtree(report_path(load_grid(grid), Path("results")), ignore_errors=True)
    for path in {"tables": table_paths, "figures": figure_paths, **report}[command](
        load_grid(grid), Path("results"), of
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path.name} at {time.time_ns()}")


STUDIES = {
    "prediction": """split,kind,dimension,horizon,error,std,segments
train,model,0,1,0.5,0.1,4
train,model,mean,1,0.5,0.1,4
held-out,model,0,1,0.75,0.1,4
held-out,model,mean,1,0.75,0.1,4
""",
    "orders": "order,horizon,error,std,segments\ndescending,1,0.5,0.1,4\n",
    "gain": """order,agent,position,gain,low,high,correlation,segments
descending,1,2,0.9,0.8,1.0,0.9,4
descending,2,1,0.1,0.0,0.2,0.5,4
""",
    "calibration": """kind,low,high,predicted,observed,observed_low,observed_high,count
reward,0.0,1.0,0.5,0.6,0.5,0.7,4
""",
}


def study(name: str, grid: str, task: str, method: str, seed: str, **_: str) -> None:
    folder = Path("results", grid, "cells", task, method, f"seed-{seed}", "studies")
    folder.mkdir(parents=True, exist_ok=True)
    if os.environ.get("FAILING") == f"{task}/{method}/seed-{seed}/{name}":
        sys.exit("dima: the study failed")
    if name == "frames":
        write_frames(folder / "frames.npz")
    else:
        (folder / f"{name}.csv").write_text(STUDIES[name])


def write_frames(path: Path) -> None:
    """Grey pictures of two steps, the second one imagined worse than standing still."""
    import numpy as np

    real = np.full((2, 16, 16, 3), 200, dtype=np.uint8)
    arrays = {
        "steps": np.array([1, 5]),
        "real": real,
        "names": np.array(["descending"]),
        "imagined": real[None] - 50,
    }
    arrays |= {
        "error": np.array([[0.1, 0.7]]),
        "still": np.array([0.2, 0.6]),
        "episode": np.array("dima seed-1"),
    }
    np.savez(path, **arrays, start=np.array(3), synthetic=np.array(""))


def studies(grid: str, task: str, study: str) -> None:
    from dima.cli import main

    sys.exit(main(["studies", "--grid", grid, "--task", task, "--study", study]))


def render(task: str, policy: str, output: str) -> None:
    Path(output).write_text(f"a film of {policy} on {task}")


def build_image(name: str) -> None:
    from dima.cli import main

    sys.exit(main(["build-image", name]))


if __name__ == "__main__":
    command, *arguments = (argument for argument in sys.argv[1:] if argument not in ("--wait", "--overwrite"))
    if command == "build-image":
        build_image(*arguments)
    names = [arguments.pop(0)] if command in ("study", "render") else []
    options: dict[str, str] = {}
    for word in arguments:
        if word.startswith("--"):
            name = word.removeprefix("--")
        else:
            options[name] = f"{options.get(name, '')} {word}".strip()
    if command == "train":
        train(**options)
    elif command == "study":
        study(*names, **options)
    elif command == "render":
        render(*names, **options)
    elif command == "studies":
        studies(**options)
    else:
        assemble(command, **options)
