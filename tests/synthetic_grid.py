"""A grid of the paper's full size that nobody ran: records drawn from the published numbers, to test tables,
figures and the report on.

    python tests/synthetic_grid.py FOLDER

makes FOLDER like the root of this repository, with the grid `synthetic` beside the others and its records
under `results/synthetic`; then

    cd FOLDER && python -m dima tables --grid synthetic

The return of a seed at the end is drawn from a normal distribution with the paper's mean and standard
deviation. On the way there it grows as 1 - exp(-4 t / budget), with noise of a tenth of that deviation, which
is also what the two episodes of an evaluation differ by. `FAULTS`, `SHIFTS` and `OTHERS` make every word of
the tables occur. Every file says that it is synthetic, as does all that is made of it.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from made_frames import write_frames  # noqa: E402 - beside this file, on the path when it is run as a script

from dima.config.grid import CellKey, Grid, load_grid  # noqa: E402 - run as a script, the repository is not on the path

NAME = "synthetic"
LABEL = (
    "SYNTHETIC and no result: drawn from the paper's numbers with its standard deviation as noise."
    " Nothing was run."
)
EPISODES = 2
# a method on a task, and which of its seeds have another state than completed; those that are not run leave
# nothing
FAULTS = {
    ("ant-2x4", "mappo"): {4: "not run"},
    ("ant-4x2", "happo"): {2: "diverged"},
    ("halfcheetah-2x3", "marie"): {1: "diverged", 3: "diverged"},
    ("halfcheetah-3x2", "mamba"): {1: "running", 2: "failed"},
    ("walker2d-2x3", "mamba"): {3: "stale"},
    ("walker2d-3x2", "marie"): dict.fromkeys((1, 2, 3, 4), "not run"),
    ("bottle-cap", "marie"): dict.fromkeys((1, 2, 3, 4), "failed"),
    ("door-open-inward", "dima-joint"): {8: "interrupted"},
    ("door-open-inward", "marie"): dict.fromkeys((1, 2, 3, 4), "not run"),
    ("door-open-outward", "marie"): dict.fromkeys((1, 2, 3, 4), "not run"),
    ("pen", "marie"): dict.fromkeys((1, 2, 3, 4), "not run"),
}
# in deviations of the paper: what makes `below` and `above`
SHIFTS = {("ant-4x2", "dima"): -2.5, ("halfcheetah-2x3", "mappo"): 3.0, ("walker2d-3x2", "happo"): 2.0}
# seeds of a method that come from another engine or from another physics
OTHERS = {
    ("walker2d-3x2", "hasac", 2): {"engine": "checkout"},
    **{("halfcheetah-6x1", "happo", seed): {"lineage": "no physics, version 2"} for seed in (1, 2, 3, 4)},
}


def write_synthetic(folder: Path) -> Grid:
    """Make `folder` like the repository's root, with the synthetic grid and its records; returns the grid.
    Equal bytes every time."""
    config = folder / "workflow/config"
    shutil.copytree(ROOT / "workflow/config", config)
    shutil.copytree(ROOT / "workflow/reference", folder / "workflow/reference")
    experiments = yaml.safe_load((config / "paper.yaml").read_text(encoding="utf-8"))["experiments"]
    # fewer evaluations than the paper's grid, all budgets at which the paper has a number among them
    every = {
        task: {"evaluation": {"every": 20000, "episodes": EPISODES}}
        for task in dict.fromkeys(key.task for key in load_grid("paper", config).cells)
    }
    every |= {
        task: {"evaluation": {"every": 10000, "episodes": EPISODES}}
        for task in ("bottle-cap", "door-open-inward", "door-open-outward")
    }
    content = {"experiments": experiments, "overrides": {"tasks": every}}
    (config / f"{NAME}.yaml").write_text(
        f"# {LABEL}\n{yaml.safe_dump(content, sort_keys=False)}", encoding="utf-8"
    )
    grid = load_grid(NAME, config)
    published, errors = _published(), _published_errors()
    for key in grid.cells:
        state = FAULTS.get((key.task, key.method), {}).get(key.seed, "completed")
        if state != "not run":
            place = folder / "results" / NAME / "cells" / key.folder
            _write_cell(grid, key, state, place, *published[key.task, key.method])
            if state == "completed":
                _write_studies(key, place, errors.get((key.task, key.method), {}))
            if state == "completed" and key in grid.experiments["imagination"]:
                _write_frames(key, place)
    return grid


def _published() -> dict[tuple[str, str], tuple[float, float]]:
    """The paper's mean and deviation at the end of the budget; 0 and 1 where it has none."""
    numbers: dict[tuple[str, str], tuple[float, float]] = {}
    for name in ("ablation_returns", "final_returns"):  # where both have a number, the second one's
        with (ROOT / f"workflow/reference/{name}.csv").open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                numbers[line["task"], line["method"]] = (float(line["mean"] or 0), float(line["std"] or 1))
    return numbers


def _published_errors() -> dict[tuple[str, str], dict[int, tuple[float, float]]]:
    """The paper's mean error and its deviation, by task and method and by horizon."""
    numbers: dict[tuple[str, str], dict[int, tuple[float, float]]] = {}
    with (ROOT / "workflow/reference/prediction_error.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            numbers.setdefault((line["task"], line["method"]), {})[int(line["horizon"])] = (
                float(line["mean"]),
                float(line["std"]),
            )
    return numbers


def _write_cell(grid: Grid, key: CellKey, state: str, folder: Path, mean: float, std: float) -> None:
    config = grid.resolve(key)
    budget, seconds = config.task.env_steps, 3600.0 + key.seed
    random = Random("/".join((NAME, key.folder)))
    final = random.gauss(mean + SHIFTS.get((key.task, key.method), 0.0) * std, std)
    reached = budget if state in ("completed", "stale") else budget // 2
    curve = {
        step: _episodes(random, final, std, step / budget)
        for step in range(0, reached + 1, config.task.evaluation.every)
    }
    events = list(_events(curve, seconds / budget))
    start = {
        "commit": None,
        "dirty": None,
        "image": "none",
        "lock": None,
        "hardware": "none: synthetic",
        "host": "none",
        "device": "none",
    }
    history = {"attempt": 1, "starts": [start], "finished": reached == budget}
    means = [sum(returns) / EPISODES for returns in curve.values()]
    digest = config.digest() if state != "stale" else "0" * 64
    status = {
        "state": "completed" if state == "stale" else state,
        "env_steps": reached,
        "budget": budget,
        "latest_return": means[-1],
        "wall_seconds": seconds * reached / budget,
        "updated": 0.0,
        "process": 0,
        "host": "none",
        "message": None,
    }
    summary = {
        "format": 1,
        "grid": grid.name,
        "task": key.task,
        "method": key.method,
        "seed": key.seed,
        "status": "completed",
        "suite": config.task.suite,
        "engine": config.engine,
        "lineage": "no physics, version 1",
        "env_steps": budget,
        "budget": budget,
        "epochs": None,
        "final": {
            "grid_step": budget,
            "env_steps": budget,
            "mean": means[-1],
            "std": None,
            "episodes": EPISODES,
            "returns": curve[reached],
        },
        "mean_of_last_five": sum(means[-5:]) / len(means[-5:]),
        "config_hash": digest,
        "attempts": 1,
        "wall_seconds": seconds,
        "provenance": [start],
        **OTHERS.get(tuple(key), {}),
    }
    folder.mkdir(parents=True)
    _write_json(folder / "config.json", {"digest": digest, "config": config.model_dump(mode="json")})
    _write_json(folder / "provenance.json", history)
    _write_json(folder / "status.json", status)
    (folder / "events.jsonl").write_text(
        "".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8"
    )
    if reached == budget:
        _write_json(folder / "summary.json", summary)


def _write_studies(key: CellKey, folder: Path, published: dict[int, tuple[float, float]]) -> None:
    """The study of prediction errors where the paper has one, drawn like the returns; on Ant-2x4 that of
    orders, made up altogether."""
    random = Random("/".join((NAME, key.folder, "studies")))
    if published:
        per_step, spread = (number / 20 for number in published[20])
        line = (random.gauss(per_step, spread / 4) for _ in range(4))
        rows = [
            f"{split},{kind},{dimension},{horizon},{error * (0.4 if kind == 'decoder' else 1) * horizon:.6f}"
            for split, kind, error in zip(
                ("train", "train", "held-out", "held-out"), ("model", "decoder") * 2, line, strict=True
            )
            for dimension in ("0", "1", "mean")
            for horizon in range(1, 21)
        ]
        _write_study(folder, "prediction", "split,kind,dimension,horizon,error", rows)
    elif key.task == "ant-2x4" and key.method == "dima":
        slopes = {
            order: random.gauss(mean, 0.02)
            for order, mean in (("descending", 0.2), ("ascending", 0.22), ("random", 0.21))
        }
        rows = [
            f"{order},{horizon},{slope * horizon:.6f}"
            for order, slope in slopes.items()
            for horizon in range(1, 21)
        ]
        _write_study(folder, "orders", "order,horizon,error", rows)


def _write_frames(key: CellKey, folder: Path) -> None:
    """Plain shapes, and errors made up altogether: those of DIMA grow slower than standing still's, the
    others' faster."""
    random = Random("/".join((NAME, key.folder, "frames")))
    steps, still = (1, 5, 10, 14), (0.06, 0.22, 0.35, 0.42)
    names = ("descending", "ascending", "random") if key.method == "dima" else ("none",)
    slope = {"dima": 0.02, "marie": 0.038, "mamba": 0.046}[key.method]
    errors = {name: [slope * step * random.uniform(0.9, 1.1) for step in steps] for name in names}
    write_frames(folder, errors=errors, still=still, steps=steps, word="SYNTHETIC", synthetic=np.array(LABEL))


def _write_study(folder: Path, study: str, header: str, rows: list[str]) -> None:
    path = folder / f"studies/{study}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "".join(f"{line}\n" for line in (f"{header},synthetic", *(f"{row},{LABEL}" for row in rows))),
        encoding="utf-8",
    )


def _episodes(random: Random, final: float, std: float, share: float) -> list[float]:
    """Returns of the episodes of an evaluation after this share of the budget; exactly around `final` at its
    end."""
    grown = final * (1 - math.exp(-4 * share)) / (1 - math.exp(-4))
    middle = grown + (random.gauss(0, 0.1 * std) if share < 1 else 0.0)
    apart = abs(random.gauss(0, 0.1 * std))
    return [round(middle - apart, 6), round(middle + apart, 6)]


def _events(curve: dict[int, list[float]], seconds_per_step: float) -> Iterator[dict[str, Any]]:
    yield {"seq": 0, "kind": "label", "synthetic": LABEL, "wall_seconds": 0.0}
    episodes = (
        (step, number, value) for step, values in curve.items() for number, value in enumerate(values)
    )
    for sequence, (step, number, value) in enumerate(episodes, 1):
        place = {
            "seq": sequence,
            "kind": "evaluation",
            "env_steps": step,
            "grid_step": step,
            "episode": number,
        }
        yield {
            **place,
            "return": value,
            "length": 100,
            "success": None,
            "wall_seconds": round(step * seconds_per_step, 3),
        }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(
        json.dumps({"synthetic": LABEL, **content}, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    print(
        f"{len(write_synthetic(Path(sys.argv[1])).cells)} cells, some of them left out,"
        f" under {sys.argv[1]}/results/{NAME}"
    )
