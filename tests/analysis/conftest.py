"""Grids and cell folders made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_summary import TASKS, made_summary

from dima.config.grid import CellKey, Grid, load_grid

REPOSITORY = Path(__file__).parents[2]
MakeGrid = Callable[..., Grid]
WriteCell = Callable[..., Path]
MakeSummary = Callable[[CellKey, float, int], dict[str, Any]]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's numbers are found from the repository's root."""
    monkeypatch.chdir(REPOSITORY)


@pytest.fixture
def make_grid(tmp_path: Path) -> MakeGrid:
    """`make_grid({experiment: [(tasks, methods, seeds), ...]}, env_steps={task: budget})`."""

    def make(experiments: Mapping[str, Sequence[tuple]], env_steps: Mapping[str, int] | None = None) -> Grid:
        config = tmp_path / "config"
        (config / "tasks").mkdir(parents=True, exist_ok=True)
        for name, (label, suite, budget, comparable) in TASKS.items():
            task = {
                "label": label,
                "suite": suite,
                "preset": "paper",
                "simulator": "isaacgym",
                "agents": 2,
                "env_steps": (env_steps or {}).get(name, budget),
            }
            task |= {"evaluation": {"every": 1000, "episodes": 2}, "comparable_with_paper": comparable}
            (config / "tasks" / f"{name}.yaml").write_text(yaml.safe_dump(task))
        blocks = {
            name: [
                {"tasks": list(tasks), "methods": list(methods), "seeds": list(seeds)}
                for tasks, methods, seeds in parts
            ]
            for name, parts in experiments.items()
        }
        (config / "trial.yaml").write_text(yaml.safe_dump({"experiments": blocks}, sort_keys=False))
        return load_grid("trial", config)

    return make


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def write_cell(results: Path) -> WriteCell:
    """`write_cell(key, mean, budget)` writes a completed cell of the grid `trial`; `changes` replace keys of
    its summary."""

    def write(
        key: CellKey,
        mean: float,
        budget: int,
        curve: Mapping[int, Sequence[float]] | None = None,
        **changes: Any,
    ) -> Path:
        folder = results / "trial" / "cells" / key.folder
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps(made_summary(key, mean, budget) | changes))
        events = [
            {
                "kind": "evaluation",
                "env_steps": step,
                "grid_step": step,
                "episode": episode,
                "return": value,
                "length": 10,
                "success": None,
            }
            for step, values in (curve or {0: [0.0, 0.0], budget: [mean - 1, mean + 1]}).items()
            for episode, value in enumerate(values)
        ]
        lines = [
            json.dumps({"seq": seq, "wall_seconds": 0.5 * seq} | event) for seq, event in enumerate(events)
        ]
        (folder / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return folder

    return write


@pytest.fixture
def write_status(results: Path) -> WriteCell:
    """`write_status(key, state)` leaves a cell that has no summary."""

    def write(key: CellKey, state: str) -> Path:
        folder = results / "trial" / "cells" / key.folder
        folder.mkdir(parents=True)
        (folder / "status.json").write_text(
            json.dumps({"state": state, "env_steps": 10, "attempt": 1, "message": None})
        )
        return folder

    return write


@pytest.fixture
def make_summary() -> MakeSummary:
    """`make_summary(key, mean, budget)`: the content of a `summary.json` of the grid `trial`."""
    return made_summary
