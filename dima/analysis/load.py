"""Reading recorded cells: what state each is in, its summary, and its learning curve.

A record that cannot be trusted (unreadable, of another cell, or claimed twice) is refused by name and never averaged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose, nan
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from dima.errors import UserError
from dima.grid import CellKey, Grid
from dima.record.events import read_events

State = Literal["completed", "stale", "diverged", "failed", "interrupted", "running", "not run"]
Model = TypeVar("Model", bound=BaseModel)


class Recorded(BaseModel):
    """Base of what is read from a cell's folder: strict types; keys that no table needs are passed over."""

    model_config = ConfigDict(frozen=True, strict=True)


class FinalEvaluation(Recorded):
    """The last evaluation: `mean` return over its episodes at `grid_step` environment steps."""

    grid_step: int
    mean: FiniteFloat


class Provenance(Recorded):
    """What one of the processes that worked on a cell ran with."""

    commit: str | None
    dirty: bool | None
    image: str
    lock: str | None
    hardware: str


class Summary(Recorded):
    """The part of `summary.json`, format 1, that tables and figures use."""

    format: Literal[1]
    grid: str
    task: str
    method: str
    seed: int
    status: Literal["completed"]
    engine: str
    lineage: str
    budget: int
    final: FinalEvaluation
    mean_of_last_five: FiniteFloat
    config_hash: str
    attempts: int
    wall_seconds: FiniteFloat
    provenance: Annotated[list[Provenance], Field(min_length=1)]

    @property
    def key(self) -> CellKey:
        """The cell that the summary says it belongs to."""
        return CellKey(self.task, self.method, self.seed)


class Status(Recorded):
    """The part of `status.json` that tables use."""

    state: Literal["running", "completed", "diverged", "failed", "interrupted"]


@dataclass(frozen=True)
class CellRecord:
    """One planned cell: `summary` stands only where `state` is `completed` or `stale`."""

    key: CellKey
    folder: Path
    state: State
    summary: Summary | None


def load_cells(
    grid: Grid, keys: Sequence[CellKey], results_dir: Path, config_hashes: Mapping[CellKey, str] | None = None
) -> list[CellRecord]:
    """The records of `keys`, in their order, from `<results_dir>/<grid>/cells`.

    A summary with another budget than the grid's, or another configuration hash than `config_hashes` gives for its cell, is `stale`.

    Raises:
        UserError: a file cannot be read as format 1, a summary belongs to another cell or lacks the evaluation at the end of its budget,
            or two folders claim one cell.
    """
    cells_dir = results_dir / grid.name / "cells"
    _refuse_second_records(grid, keys, cells_dir)
    budgets = {task: grid.task(task).env_steps for task in dict.fromkeys(key.task for key in keys)}
    hashes = config_hashes or {}
    return [_load_cell(grid, key, cells_dir / key.folder, budgets[key.task], hashes.get(key)) for key in keys]


def read_curve(record: CellRecord) -> dict[int, float]:
    """Grid step -> mean return over the episodes of that evaluation, by growing step, of a cell that has a summary.

    Raises:
        UserError: the event log holds an evaluation without a step or a return, or does not end in the return that the summary gives.
    """
    path = record.folder / "events.jsonl"
    returns: dict[int, list[float]] = defaultdict(list)
    for event in read_events(path):
        if event["kind"] == "evaluation":
            step, value = event.get("grid_step"), event.get("return")
            if not isinstance(step, int) or not isinstance(value, int | float):
                raise UserError(f"{path} holds an evaluation without a step or a return (seq {event['seq']}).")
            returns[step].append(value)
    curve = {step: sum(values) / len(values) for step, values in sorted(returns.items())}
    final = record.summary.final if record.summary else None
    if final is None or not isclose(curve.get(final.grid_step, nan), final.mean, rel_tol=1e-5, abs_tol=1e-5):
        raise UserError(f"{path} does not hold the final evaluation that the summary beside it gives.")
    return curve


def _load_cell(grid: Grid, key: CellKey, folder: Path, budget: int, config_hash: str | None) -> CellRecord:
    path = folder / "summary.json"
    if not path.is_file():
        return CellRecord(key, folder, _state_without_summary(folder), None)
    summary = _read(Summary, path)
    if (summary.grid, summary.key) != (grid.name, key):
        raise UserError(f"{path} belongs to another cell: it says grid {summary.grid}, {summary.key.folder}.")
    if summary.final.grid_step != summary.budget:
        raise UserError(f"{path} says completed, but its last evaluation is at {summary.final.grid_step} of {summary.budget} env steps.")
    current = summary.budget == budget and config_hash in (None, summary.config_hash)
    return CellRecord(key, folder, "completed" if current else "stale", summary)


def _state_without_summary(folder: Path) -> State:
    path = folder / "status.json"
    if not path.is_file():
        return "not run"
    state = _read(Status, path).state
    # the summary is the last thing a cell writes: without it the cell did not get to its end, or its summary was removed
    return "interrupted" if state == "completed" else state


def _refuse_second_records(grid: Grid, keys: Sequence[CellKey], cells_dir: Path) -> None:
    """Refuse a cell listed twice, and a copied folder (`seed-1-old`) whose summary claims a cell whose record belongs elsewhere."""
    planned = {key.folder for key in keys}
    if len(planned) < len(keys):
        raise UserError(f"Grid {grid.name} lists a cell twice: {next(key.folder for key in keys if list(keys).count(key) > 1)}.")
    for parent in dict.fromkeys(Path(key.folder).parent for key in keys):
        for path in sorted((cells_dir / parent).glob("*/summary.json")):
            if str(path.parent.relative_to(cells_dir)) in planned:
                continue
            summary = _read(Summary, path)
            if summary.grid == grid.name and summary.key.folder in planned:
                raise UserError(f"Two folders claim the cell {summary.key.folder}: remove or move {path.parent}, which is not its place.")


def _read(model: type[Model], path: Path) -> Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise UserError(f"{path} is not a record of format 1: {f'{place}: ' if place else ''}{fault['msg']}.") from None
