"""What would become of a cell if the grid were run now: finished, continued, or made anew and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dima.analysis.cell_status import seconds_left
from dima.analysis.load import Model, Provenance, Recorded, Summary, parse, read_summary
from dima.analysis.records import FileRecords, Records
from dima.config import CellConfig
from dima.errors import UserError
from dima.grid import CellKey, Grid
from dima.record.attempt import why_anew

Fate = Literal["finished", "continue", "anew", "new", "unreadable", "impossible"]
BUDGET = "task.env_steps"
ABSENT = "none"
KEYS_SHOWN = 6
PUT_BACK = "finished, whose summary was removed and is put back (or, with -f, is made anew)"


class CellPlan(NamedTuple):
    """What would become of one cell.

    Attributes:
        key: which cell.
        fate: it is `finished`; it would `continue` from a checkpoint, be made `anew`, though there is something of it, or be begun (`new`);
            its record is `unreadable`, or it is `impossible`.
        reason: why it would be made anew, what is wrong with its record, or why it is impossible; one sentence without a full stop.
        state: of a cell that would continue: what it said last.
        seconds_left: of such a cell: training time to come, at its own mean speed. None where nothing tells.
        device: of such a cell: what its last process computed on.
        summary: of what was finished, whatever configuration it had.
        measures: whether that is the grid's configuration but for the budget, so that its speed is that of cells to come.
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
    """The part of `provenance.json` that is used here."""

    starts: list[Provenance]
    finished: bool


class _Begun(Recorded):
    """`config.json`."""

    digest: str
    config: dict[str, Any]


class _Word(Recorded):
    """The part of `status.json` that is used here."""

    state: str
    env_steps: int
    budget: int
    wall_seconds: float


def cell_plans(grid: Grid, cells_dir: Path, records: Records | None = None) -> list[CellPlan]:
    """Every cell of the grid, in its order, by its record, by default that in its folder in `cells_dir`, and its checkpoints there.

    A finished cell counts by the configuration's hash in its summary. Snakemake goes by its own notes (the folder `.snakemake`) of the
    hashes that its jobs had. Where they are lost it takes any summary for finished, and of a cell that `dima train` alone brought to a
    changed configuration it plans a job, which finds the cell finished.

    Raises UserError where the grid's configuration is not in order.
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
            plans.append(_plan(grid, key, config.model_copy(update={"seed": key.seed}), records, cells_dir))
        except UserError as error:
            plans.append(CellPlan(key, "unreadable", str(error).removesuffix(".")))
    return plans


def _plan(grid: Grid, key: CellKey, config: CellConfig, records: Records, cells_dir: Path) -> CellPlan:
    digest = config.digest()
    summary = read_summary(grid, key, records)
    if summary and summary.config_hash == digest:
        return CellPlan(key, "finished", summary=summary, measures=True)
    begun = _read(_Begun, key, "config.json", records)
    changes = changed_keys(begun.config, config) if begun and begun.digest != digest else {}
    if summary:
        known = begun is not None and begun.digest == summary.config_hash
        reason = _change(changes) if known else "configuration changed, from one that is not recorded"
        return CellPlan(key, "anew", reason, summary=summary, measures=known and changes.keys() == {BUDGET})
    history = _read(_History, key, "provenance.json", records)
    done = read_summary(grid, key, records, "completed.json")
    if done and done.config_hash == digest:
        return CellPlan(key, "continue", state=PUT_BACK, seconds_left=0.0, device=done.provenance[-1].device, summary=done, measures=True)
    why = why_anew(history.finished if history else None, begun.digest if begun else None, digest)
    if why:
        reasons = {"finished": "its summary was removed", "torn": "the record of its attempt is not whole"}
        return CellPlan(key, "anew", reasons.get(why) or _change(changes))
    if history is None:
        return CellPlan(key, "new")
    word = _read(_Word, key, "status.json", records)
    state = word.state if word else "begun"
    if config.engine == "checkout":
        return CellPlan(key, "anew", f"{state}: the program of a checkout begins again")
    if state != "running" and not any((cells_dir / key.folder / "checkpoint").glob("[0-9]*")):
        return CellPlan(key, "anew", f"{state}, and there is no checkpoint of it")
    left = seconds_left(word.env_steps, word.budget, word.wall_seconds) if word else None
    return CellPlan(key, "continue", state=state, seconds_left=left, device=history.starts[-1].device if history.starts else None)


def _read(model: type[Model], key: CellKey, name: str, records: Records) -> Model | None:
    content = records.read(key.folder, name)
    return None if content is None else parse(model, content, records.place(key.folder, name))


def changed_keys(recorded: Mapping[str, Any], config: CellConfig) -> dict[str, tuple[str, str]]:
    """Key path -> value that was recorded and value now, both as JSON, of the keys that decide what is computed."""
    now, shown = dict(_leaves(json.loads(config.canonical()))), dict(_leaves(config.model_dump(mode="json")))
    before = {path: value for path, value in _leaves(recorded) if path in now or path not in shown}
    return {path: (before.get(path, ABSENT), now.get(path, ABSENT)) for path in {**now, **before} if before.get(path) != now.get(path)}


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value)


def _change(changes: Mapping[str, tuple[str, str]]) -> str:
    if not changes:
        return "configuration changed, though in no key that is recorded"
    what = "budget" if changes.keys() == {BUDGET} else "configuration"
    texts = [f"{path} {before} -> {now}" for path, (before, now) in changes.items()]
    more = f" and {len(texts) - KEYS_SHOWN} more" if len(texts) > KEYS_SHOWN else ""
    return f"{what} changed: {', '.join(texts[:KEYS_SHOWN])}{more}"
