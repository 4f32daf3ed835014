"""`dima run`: writes a grid with one cell, trains it and shows its progress."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from dima.campaign.progress import PlannedCell, Progress
from dima.config.grid import CellKey, Grid, GridFile, load_grid
from dima.config.method_files import CONFIG_DIR
from dima.config.validation import merge, names_in, refuse_unknown, validate
from dima.config.yaml_file import parse_yaml, read_yaml
from dima.errors import UserError
from dima.record.cell_state import read_status

FIRST_LINE = "# Written by `dima run`, which replaces it; copy it under another name to keep it."
NAME = re.compile("[a-z0-9][a-z0-9-]*")
"""What the workflow takes for a grid's name."""
EVALUATIONS = 20
"""In a run whose number of steps was given."""


def write_grid(key: CellKey, name: str, like: str | None, steps: int | None, changes: Sequence[str]) -> Grid:
    """Write `workflow/config/<name>.yaml` with this cell alone, and return the grid.

    Args:
        key: the cell.
        name: of the grid.
        like: a grid whose overrides hold here too.
        steps: the budget in environment steps, evaluated 20 times; None: the task's own.
        changes: `parameter=value` with dots in the parameter, `task.` before one of the task's.

    Raises:
        UserError: for an unknown name, key or value, or where a file of another origin has this name.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"--name takes small letters, digits and hyphens, such as my-run, not {name!r}.")
    path = CONFIG_DIR / f"{name}.yaml"
    if path.exists() and not path.read_text(encoding="utf-8").startswith(FIRST_LINE):
        raise UserError(f"{path} was not written by `dima run`: choose another --name.")
    refuse_unknown("task", key.task, names_in(CONFIG_DIR / "tasks"))
    refuse_unknown("method", key.method, names_in(CONFIG_DIR / "methods"))
    task, parameters = _overrides(like, key)
    if steps is not None:
        task = merge(task, {"env_steps": steps, "evaluation": {"every": max(1, steps // EVALUATIONS)}})
    for change in changes:
        place, value = _parsed(change)
        if place[0] == "task":
            task = merge(task, _nested(place[1:], value))
        else:
            parameters = merge(parameters, _nested(place, value))
    block = {"tasks": [key.task], "methods": [key.method], "seeds": _seeds(path, key)}
    content = {
        "experiments": {"final_returns": [block]},
        "overrides": {"tasks": {key.task: task}, "methods": {key.method: parameters}},
    }
    grid = Grid(name, validate(GridFile, content, f"{name}.yaml"), CONFIG_DIR)
    grid.resolve(key)
    path.write_text(f"{FIRST_LINE}\n{yaml.safe_dump(content, sort_keys=False)}", encoding="utf-8")
    return grid


def _overrides(like: str | None, key: CellKey) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a grid changes of the task and of the method's parameters."""
    if like is None:
        return {}, {}
    load_grid(like)  # refuses one that there is not
    overrides = validate(GridFile, read_yaml(CONFIG_DIR / f"{like}.yaml"), f"{like}.yaml").overrides
    parameters = merge(
        overrides.methods.get(key.method, {}), overrides.cells.get(key.task, {}).get(key.method, {})
    )
    return overrides.tasks.get(key.task, {}), parameters


def _seeds(path: Path, key: CellKey) -> list[int]:
    """Those of earlier runs by this name, and this one: their cells stay cells of the grid."""
    before = load_grid(path.stem).cells if path.exists() else []
    return sorted({key.seed} | {cell.seed for cell in before if cell[:2] == key[:2]})


def _parsed(change: str) -> tuple[list[str], Any]:
    place, separator, value = change.partition("=")
    if not separator or not all(place.split(".")):
        raise UserError(f"--set takes parameter=value, such as denoiser.batch_size=128, not {change!r}.")
    return place.split("."), parse_yaml(value, f"--set {change}")


def _nested(place: Sequence[str], value: Any) -> dict[str, Any]:
    for name in reversed(place):
        value = {name: value}
    return value


def train(grid: Grid, key: CellKey, results: Path, options: Mapping[str, str]) -> int:
    """Train the cell in a process of its own and show its progress. Returns the exit status."""
    folder = results / grid.name / "cells" / key.folder
    log = results / grid.name / "logs" / f"{key.folder}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    named = {"grid": grid.name, "task": key.task, "method": key.method, "seed": str(key.seed), **options}
    command = [sys.executable, "-m", "dima", "train", *(f"--{name}={value}" for name, value in named.items())]
    progress = Progress()
    progress.start([PlannedCell(grid.name, key, folder, grid.task(key.task).env_steps)], 1)
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

    def terminate(number: int, frame: FrameType | None) -> None:
        process.terminate()

    signal.signal(signal.SIGTERM, terminate)
    status = _wait(process)
    progress.stop()
    _report(grid, key, folder, log, status)
    return status


def _wait(process: subprocess.Popen[bytes]) -> int:
    """The exit status; Ctrl-C reaches the process too, which then writes what its status needs."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _report(grid: Grid, key: CellKey, folder: Path, log: Path, status: int) -> None:
    found = read_status(folder)
    if status or found is None:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        print(f"The end of {log}:", *lines, sep="\n  ", file=sys.stderr)
        return
    print(f"{folder}: return {found.latest_return:.1f} after {found.env_steps:,} environment steps.")
    print(f"Draw it: dima figures --grid {grid.name} --of returns")
    print(f"Film it: dima render {key.task} --policy {folder}")
