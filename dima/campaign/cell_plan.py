"""What a run of the grid would do with each cell: skip, continue, or train it, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dima.analysis.records.files import FileRecords, Records
from dima.analysis.records.load import (
    Begun,
    Model,
    Provenance,
    Recorded,
    Summary,
    parse,
    read_begun,
    read_summary,
)
from dima.campaign.cell_status import seconds_left
from dima.config import CellConfig, older_method
from dima.config.grid import CellKey, Grid
from dima.errors import UserError
from dima.record.attempt import CHANGED, CONFIG, PROVENANCE, History, begun_with, why_not_longer
from dima.record.cell_state import (
    CHECKPOINT,
    COMPLETED,
    FINISHED,
    STATUS,
    SUMMARY,
    CellFiles,
    State,
    Status,
    parse_status,
    state_of,
)

Fate = Literal["finished", "continue", "anew", "new", "unreadable", "impossible"]
BUDGET = "task.env_steps"
ABSENT = "none"
KEYS_SHOWN = 6
RAISED = "with a raised budget"
RESTORED = "finished, whose summary was removed and is restored (with -f it is trained again)"
REASONS: dict[State, str] = {
    "given up": "its last attempt was given up",
    "torn": "the record of its attempt is not whole",
    "both summaries lost": "its summary was removed",
}


class CellPlan(NamedTuple):
    """What a run of the grid would do with one cell.

    Attributes:
        key: which cell.
        fate: it is `finished`, would `continue` from a checkpoint, be trained again (`anew`) or for the first
            time (`new`), has an `unreadable` record, or is `impossible`.
        reason: of `anew`, `unreadable` and `impossible`; a sentence without a full stop.
        state: last status of a cell that would continue.
        seconds_left: its remaining training time at its own mean speed; None where that is unknown.
        device: of its last process.
        summary: of a finished run, whatever its configuration.
        measures: whether that is the grid's configuration except for the budget, so that it predicts speeds.
    """

    key: CellKey
    fate: Fate
    reason: str = ""
    state: str = ""
    seconds_left: float | None = None
    device: str | None = None
    summary: Summary | None = None
    measures: bool = False


class _History(Recorded):
    """The part of `provenance.json` that is used here.

    Older ones leave digest and budget to `config.json`.
    """

    starts: list[Provenance]
    finished: bool
    digest: str | None = None
    budget: int | None = None
    set_aside: str | None = None


def cell_plans(grid: Grid, cells_dir: Path, records: Records | None = None) -> list[CellPlan]:
    """The plan of every cell of the grid, by checkpoints in `cells_dir` and records, by default there too.

    A cell is finished by the configuration's hash in its summary. Snakemake goes by its own notes in
    `.snakemake`: where they are lost it counts any summary as finished, and for a cell that `dima train`
    trained with a changed configuration it plans a job, which finds the cell finished.

    Raises UserError for an invalid grid.
    """
    records = records or FileRecords(cells_dir)
    configs: dict[tuple[str, str], CellConfig | None] = {}
    plans = []
    for key in grid.cells:
        if key[:2] not in configs:  # seeds of a method differ in nothing else
            configs[key[:2]] = grid.resolve(key) if grid.has_method(key.method) else None
        config = configs[key[:2]]
        if config is None:
            plans.append(CellPlan(key, "impossible", f"there is no method {key.method} yet"))
            continue
        try:
            seeded = config.model_copy(update={"seed": key.seed})
            plans.append(_plan(_read_cell(grid, key, seeded, records, cells_dir)))
        except UserError as error:
            plans.append(CellPlan(key, "unreadable", str(error).removesuffix(".")))
    return plans


class _Cell(NamedTuple):
    """What was read of a cell, and the configuration that the grid has for it now."""

    key: CellKey
    config: CellConfig
    files: CellFiles
    begun: Begun | None
    status: Status | None
    summary: Summary | None
    done: Summary | None
    device: str | None


def _read_cell(grid: Grid, key: CellKey, config: CellConfig, records: Records, cells_dir: Path) -> _Cell:
    summary, completed = (read_summary(grid, key, records, name) for name in (SUMMARY, COMPLETED))
    begun, recorded = _begun(key, records), _read(_History, key, PROVENANCE, records)
    files = CellFiles(
        _history(recorded, begun),
        summary and summary.model_dump(),
        completed and completed.model_dump(),
        checkpoint=any((cells_dir / key.folder / CHECKPOINT).glob("[0-9]*")),
        others=begun is not None,
    )
    status = parse_status(records.read(key.folder, STATUS) or b"")
    device = recorded.starts[-1].device if recorded and recorded.starts else None
    return _Cell(key, config, files, begun, status, summary, summary or completed, device)


def _plan(cell: _Cell) -> CellPlan:
    key, status, done, state = cell.key, cell.status, cell.done, state_of(cell.files, cell.config)
    if state in FINISHED and done:
        if state == "finished":
            return CellPlan(key, "finished", summary=done, measures=True)
        return CellPlan(key, "continue", "", RESTORED, 0.0, done.provenance[-1].device, done, measures=True)
    if state == "another configuration":
        return _changed(cell)
    if state == "unknown":
        missing = CONFIG if cell.files.history else PROVENANCE
        why = f"its {missing} is missing: it continues if its checkpoint has the content, or is refused"
        return CellPlan(key, "unreadable", why)
    if state == "empty":
        return CellPlan(key, "new")
    if state in REASONS:
        return CellPlan(key, "anew", REASONS[state])
    said = status.state if status else "begun"
    if cell.config.engine == "checkout":
        return CellPlan(key, "anew", f"{said}: the program of a checkout begins again")
    if said != "running" and not cell.files.checkpoint:
        return CellPlan(key, "anew", f"{said}, and there is no checkpoint of it")
    left = seconds_left(status.env_steps, status.budget, status.wall_seconds) if status else None
    return CellPlan(key, "continue", state=said, seconds_left=left, device=cell.device)


def _changed(cell: _Cell) -> CellPlan:
    """A cell of another configuration: its budget was raised, or it would be trained again."""
    key, config, begun, summary, done = cell.key, cell.config, cell.begun, cell.summary, cell.done
    why_not = why_not_longer(cell.files.history, config) if cell.files.history else CHANGED
    if why_not is None and cell.files.checkpoint:
        taken = done and (done.budget, done.wall_seconds)
        taken = taken or (cell.status and (cell.status.env_steps, cell.status.wall_seconds))
        left = seconds_left(taken[0], config.task.env_steps, taken[1]) if taken else None
        return CellPlan(key, "continue", "", RAISED, left, cell.device, done, measures=done is not None)
    changes = changed_keys(begun.config, config) if begun and begun.digest != config.digest() else {}
    reason = (older_method(begun.config) if changes and begun else "") or _change(changes, why_not)
    if summary is None:
        return CellPlan(key, "anew", reason)
    if begun is None or begun.digest != summary.config_hash:
        return CellPlan(key, "anew", "configuration changed, from one that is not recorded", summary=summary)
    return CellPlan(key, "anew", reason, summary=summary, measures=changes.keys() == {BUDGET})


def _history(recorded: _History | None, begun: Begun | None) -> History | None:
    """As `dima.record.attempt.read_history`, of what was read of the two files."""
    if recorded is None:
        return None
    older = begun_with(begun.model_dump() if begun else {})
    return {**older, **{name: value for name, value in recorded.model_dump().items() if value is not None}}


def _begun(key: CellKey, records: Records) -> Begun | None:
    """`config.json`, None where it is damaged: it is written again."""
    with suppress(UserError):
        return read_begun(key, records)
    return None


def _read(model: type[Model], key: CellKey, name: str, records: Records) -> Model | None:
    content = records.read(key.folder, name)
    return None if content is None else parse(model, content, records.place(key.folder, name))


def changed_keys(recorded: Mapping[str, Any], config: CellConfig) -> dict[str, tuple[str, str]]:
    """Key path -> recorded and present value as JSON, for changed keys that decide what is computed."""
    now, shown = dict(_leaves(json.loads(config.canonical()))), dict(_leaves(config.model_dump(mode="json")))
    before = {path: value for path, value in _leaves(recorded) if path in now or path not in shown}
    return {
        path: (before.get(path, ABSENT), now.get(path, ABSENT))
        for path in {**now, **before}
        if before.get(path) != now.get(path)
    }


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value)


def _change(changes: Mapping[str, tuple[str, str]], why_not: str | None) -> str:
    """What changed, and for a budget also why the cell does not continue."""
    if not changes:
        return "configuration changed, though in no key that is recorded"
    what, why = "configuration", ""
    if changes.keys() == {BUDGET}:
        what = "budget"
        why = "" if why_not == CHANGED else f"; its {why_not or 'checkpoint is gone'}"
    texts = [f"{path} {before} -> {now}" for path, (before, now) in changes.items()]
    more = f" and {len(texts) - KEYS_SHOWN} more" if len(texts) > KEYS_SHOWN else ""
    return f"{what} changed: {', '.join(texts[:KEYS_SHOWN])}{more}{why}"
