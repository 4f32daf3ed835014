"""Reading recorded cells: their states, summaries and learning curves.

A record that cannot be trusted (unreadable, of another cell, or claimed twice) is refused by name and never
averaged. Synthetic records are read like others, but never together with real ones.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose, nan
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from dima.analysis.records.files import FileRecords, Records
from dima.config import OLDER_METHOD, older_method
from dima.config.grid import CellKey, Grid
from dima.errors import UserError
from dima.record.cell_state import CONFIG, EVENTS, STATUS, SUMMARY, RunState, Status
from dima.record.events import parse_events

State = Literal[RunState, "stale", "trained by an older method", "not run"]
Model = TypeVar("Model", bound=BaseModel)


class Recorded(BaseModel):
    """Base of what is read of a cell: strict types; unknown keys are ignored."""

    model_config = ConfigDict(frozen=True, strict=True)


class FinalEvaluation(Recorded):
    """The last evaluation: `mean` return over its episodes at `grid_step` environment steps."""

    grid_step: int
    mean: FiniteFloat


class Provenance(Recorded):
    """Where one of a cell's processes ran: code, image, package lock and machine."""

    commit: str | None
    dirty: bool | None
    image: str
    lock: str | None
    hardware: str
    device: str | None = None


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
    synthetic: str | None = None
    provenance: Annotated[list[Provenance], Field(min_length=1)]

    @property
    def key(self) -> CellKey:
        """The cell of the summary."""
        return CellKey(self.task, self.method, self.seed)


class Begun(Recorded):
    """`config.json`: the configuration of the attempt."""

    digest: str
    config: dict[str, Any]


@dataclass(frozen=True)
class CellRecord:
    """One planned cell; `completed`, `stale` and `trained by an older method` have a `summary`.

    `synthetic` is the label of a synthetic record, None of a real one.
    """

    key: CellKey
    records: Records
    state: State
    summary: Summary | None
    synthetic: str | None = None


def load_cells(
    grid: Grid,
    keys: Sequence[CellKey],
    source: Path | Records,
    config_hashes: Mapping[CellKey, str] | None = None,
) -> list[CellRecord]:
    """The records of `keys`, in their order.

    A summary with another budget than the grid's, or with another hash than in `config_hashes`, is `stale`,
    or `trained by an older method` where its configuration is one of an older version.

    Args:
        grid: of the cells.
        keys: of the cells.
        source: the records, or the folder that holds `<grid>/cells`.
        config_hashes: the current configuration's hash by cell.

    Raises:
        UserError: a record cannot be read as format 1, a summary belongs to another cell or lacks the
            evaluation at the end of its budget, or two places claim one cell.
    """
    records = FileRecords(source / grid.name / "cells") if isinstance(source, Path) else source
    _refuse_second_records(grid, keys, records)
    budgets = {task: grid.task(task).env_steps for task in dict.fromkeys(key.task for key in keys)}
    hashes = config_hashes or {}
    return [_load_cell(grid, key, records, budgets[key.task], hashes.get(key)) for key in keys]


def by_task_and_method(records: Iterable[CellRecord]) -> dict[tuple[str, str], list[CellRecord]]:
    """The seeds of every task and method, in their order."""
    found: dict[tuple[str, str], list[CellRecord]] = defaultdict(list)
    for record in records:
        found[record.key.task, record.key.method].append(record)
    return dict(found)


def synthetic_label(cells: Iterable[CellRecord]) -> str | None:
    """The label that must be on everything made of these cells; None if they are real.

    Raises:
        UserError: some are synthetic and some are not, or their labels differ.
    """
    by_label = {cell.synthetic: cell for cell in cells if cell.state != "not run"}
    if len(by_label) > 1:
        places = [
            f"{cell.records.place(cell.key.folder)} {'is synthetic' if label else 'is not'}"
            for label, cell in by_label.items()
        ]
        raise UserError(
            f"Synthetic records are never shown together with others: {', '.join(sorted(places))}."
        )
    return next(iter(by_label), None)


def read_curve(record: CellRecord) -> dict[int, float]:
    """Mean evaluation return by growing grid step, of a cell with a summary.

    Raises:
        UserError: an evaluation has no step or return, or the last one is not that of the summary.
    """
    curve = read_evaluations(record)
    final = record.summary.final if record.summary else None
    if final is None or not isclose(curve.get(final.grid_step, nan), final.mean, rel_tol=1e-5, abs_tol=1e-5):
        place = record.records.place(record.key.folder, EVENTS)
        raise UserError(f"{place} does not hold the final evaluation of its summary.")
    return curve


def read_evaluations(record: CellRecord) -> dict[int, float]:
    """The evaluations so far of a cell in any state, as `read_curve`.

    Raises UserError for an evaluation without a step or a return.
    """
    folder, name = record.key.folder, EVENTS
    log, place = record.records.read(folder, name) or b"", record.records.place(folder, name)
    returns: dict[int, list[float]] = defaultdict(list)
    for event in parse_events(log, place, kind="evaluation"):
        step, value = event.get("grid_step"), event.get("return")
        if not isinstance(step, int) or not isinstance(value, int | float):
            raise UserError(f"{place} holds an evaluation without a step or a return (seq {event['seq']}).")
        returns[step].append(value)
    return {step: sum(values) / len(values) for step, values in sorted(returns.items())}


def read_summary(grid: Grid, key: CellKey, records: Records, name: str = SUMMARY) -> Summary | None:
    """The cell's summary in the file `name`, None without one. Raises UserError as `load_cells`."""
    content = records.read(key.folder, name)
    if content is None:
        return None
    place = records.place(key.folder, name)
    summary = parse(Summary, content, place)
    if (summary.grid, summary.key) != (grid.name, key):
        raise UserError(
            f"{place} belongs to another cell: it says grid {summary.grid}, {summary.key.folder}."
        )
    if summary.final.grid_step != summary.budget:
        last = f"{summary.final.grid_step} of {summary.budget} env steps"
        raise UserError(f"{place} says completed, but its last evaluation is at {last}.")
    return summary


def _load_cell(
    grid: Grid, key: CellKey, records: Records, budget: int, config_hash: str | None
) -> CellRecord:
    summary = read_summary(grid, key, records)
    if summary is None:
        state, label = _state_without_summary(key.folder, records)
        return CellRecord(key, records, state, None, label)
    current = summary.budget == budget and config_hash in (None, summary.config_hash)
    state: State = "completed" if current else _outdated(key, records, summary)
    return CellRecord(key, records, state, summary, summary.synthetic)


def _outdated(key: CellKey, records: Records, summary: Summary) -> State:
    """How a summary is out of date, by its recorded configuration."""
    begun = read_begun(key, records)
    if begun is None or begun.digest != summary.config_hash:
        return "stale"
    return OLDER_METHOD if older_method(begun.config) else "stale"


def read_begun(key: CellKey, records: Records) -> Begun | None:
    """The cell's `config.json`, None without one. Raises UserError for an invalid one."""
    content = records.read(key.folder, CONFIG)
    return None if content is None else parse(Begun, content, records.place(key.folder, CONFIG))


def read_object(records: Records, folder: str, name: str) -> dict[str, Any]:
    """The JSON object in a cell's file, empty where there is none."""
    try:
        content = json.loads(records.read(folder, name) or b"null")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _state_without_summary(folder: str, records: Records) -> tuple[State, str | None]:
    """The state, and the label of a synthetic record."""
    content = records.read(folder, STATUS)
    if content is None:
        return "not run", None
    status = parse(Status, content, records.place(folder, STATUS))
    # a cell writes its summary last: without one it did not finish, or somebody removed the summary
    return "interrupted" if status.state == "completed" else status.state, status.synthetic


def _refuse_second_records(grid: Grid, keys: Sequence[CellKey], records: Records) -> None:
    """Refuse a cell listed twice, and a copied folder (`seed-1-old`) whose summary claims a planned cell."""
    planned = {key.folder for key in keys}
    if len(planned) < len(keys):
        twice = next(key.folder for key in keys if list(keys).count(key) > 1)
        raise UserError(f"Grid {grid.name} lists a cell twice: {twice}.")
    for parent in dict.fromkeys(str(PurePosixPath(key.folder).parent) for key in keys):
        for folder in records.with_summary(parent):
            if folder in planned:
                continue
            summary = parse(Summary, records.read(folder, SUMMARY) or b"", records.place(folder, SUMMARY))
            if summary.grid == grid.name and summary.key.folder in planned:
                second = f"remove or move {records.place(folder)}, which is not its place"
                raise UserError(f"Two folders claim the cell {summary.key.folder}: {second}.")


def parse(model: type[Model], content: bytes, place: str) -> Model:
    """The JSON `content` as a `model`. Raises UserError with `place` and the first fault."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors()[0]
        path = ".".join(map(str, fault["loc"]))
        raise UserError(
            f"{place} is not a record of format 1: {f'{path}: ' if path else ''}{fault['msg']}."
        ) from None
