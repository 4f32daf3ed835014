"""What would become of a cell if the grid were run now: finished, continued, or made anew and why."""

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
from dima.record.attempt import CHANGED, History, begun_with, why_anew, why_not_longer

Fate = Literal["finished", "continue", "anew", "new", "unreadable", "impossible"]
BUDGET = "task.env_steps"
ABSENT = "none"
KEYS_SHOWN = 6
TORN = "the record of its attempt is not whole"
RAISED = "with a raised budget"
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
    """The part of `provenance.json` that is used here.

    Older ones leave digest and budget to `config.json`.
    """

    starts: list[Provenance]
    finished: bool
    digest: str | None = None
    budget: int | None = None
    set_aside: str | None = None


class _Word(Recorded):
    """The part of `status.json` that is used here."""

    state: str
    env_steps: int
    budget: int
    wall_seconds: float


def cell_plans(grid: Grid, cells_dir: Path, records: Records | None = None) -> list[CellPlan]:
    """Every cell of the grid, in its order, by its record, by default that in its folder in `cells_dir`, and
    its checkpoints there.

    A finished cell counts by the configuration's hash in its summary. Snakemake goes by its own notes (the
    folder `.snakemake`) of the hashes that its jobs had. Where they are lost it takes any summary for
    finished, and of a cell that `dima train` alone brought to a changed configuration it plans a job, which
    finds the cell finished.

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
    summary = read_summary(grid, key, records)
    done = summary or read_summary(grid, key, records, "completed.json")
    begun, recorded = _begun(key, records), _read(_History, key, "provenance.json", records)
    history = _history(recorded, begun)
    digest, given_up = config.digest(), recorded is not None and recorded.set_aside is not None
    if summary and summary.config_hash == digest and not given_up:
        return CellPlan(key, "finished", summary=summary, measures=True)
    if done and done.config_hash == digest and not given_up:
        return CellPlan(
            key,
            "continue",
            state=PUT_BACK,
            seconds_left=0.0,
            device=done.provenance[-1].device,
            summary=done,
            measures=True,
        )
    changes = changed_keys(begun.config, config) if begun and begun.digest != digest else {}
    why_not = why_not_longer(history, config) if history else CHANGED
    checkpoint = any((cells_dir / key.folder / "checkpoint").glob("[0-9]*"))
    word = _word(key, records)
    if recorded and why_not is None and checkpoint and not given_up:
        return _longer(key, config, recorded, word, done)
    reason = (older_method(begun.config) if changes and begun else "") or _change(changes, why_not)
    if summary and not given_up:
        known = begun is not None and begun.digest == summary.config_hash
        if not known:
            reason = "configuration changed, from one that is not recorded"
        return CellPlan(key, "anew", reason, summary=summary, measures=known and changes.keys() == {BUDGET})
    if checkpoint and not given_up and (history is None or history["digest"] is None):
        missing = "config.json" if history else "provenance.json"
        return CellPlan(
            key,
            "unreadable",
            f"its {missing} is missing: it continues if its checkpoint holds what was there, or is refused",
        )
    why = "torn" if history is None and begun else why_anew(history, config)
    if why:
        reasons = {
            "finished": "its summary was removed",
            "torn": TORN,
            "set aside": "its last attempt was given up",
        }
        return CellPlan(key, "anew", reasons.get(why) or reason)
    if recorded is None:
        return CellPlan(key, "new")
    state = word.state if word else "begun"
    if config.engine == "checkout":
        return CellPlan(key, "anew", f"{state}: the program of a checkout begins again")
    if state != "running" and not checkpoint:
        return CellPlan(key, "anew", f"{state}, and there is no checkpoint of it")
    left = seconds_left(word.env_steps, word.budget, word.wall_seconds) if word else None
    return CellPlan(
        key,
        "continue",
        state=state,
        seconds_left=left,
        device=recorded.starts[-1].device if recorded.starts else None,
    )


def _history(recorded: _History | None, begun: Begun | None) -> History | None:
    """As `dima.record.attempt.read_history`, of what was read of the two files."""
    if recorded is None:
        return None
    older = begun_with(begun.model_dump() if begun else {})
    return {**older, **{name: value for name, value in recorded.model_dump().items() if value is not None}}


def _longer(
    key: CellKey, config: CellConfig, recorded: _History, word: _Word | None, done: Summary | None
) -> CellPlan:
    """A cell whose budget was raised."""
    taken = (
        (done.budget, done.wall_seconds) if done else (word.env_steps, word.wall_seconds) if word else None
    )
    left = seconds_left(taken[0], config.task.env_steps, taken[1]) if taken else None
    device = recorded.starts[-1].device if recorded.starts else None
    return CellPlan(
        key,
        "continue",
        state=RAISED,
        seconds_left=left,
        device=device,
        summary=done,
        measures=done is not None,
    )


def _begun(key: CellKey, records: Records) -> Begun | None:
    """`config.json`, which is made again where it is damaged."""
    with suppress(UserError):
        return read_begun(key, records)
    return None


def _word(key: CellKey, records: Records) -> _Word | None:
    """`status.json`, which is written anew, whatever it holds."""
    with suppress(UserError):
        return _read(_Word, key, "status.json", records)
    return None


def _read(model: type[Model], key: CellKey, name: str, records: Records) -> Model | None:
    content = records.read(key.folder, name)
    return None if content is None else parse(model, content, records.place(key.folder, name))


def changed_keys(recorded: Mapping[str, Any], config: CellConfig) -> dict[str, tuple[str, str]]:
    """Key path -> value that was recorded and value now, both as JSON, of the keys that decide what is
    computed.
    """
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
    """What changed; of a budget also why the cell does not continue."""
    if not changes:
        return "configuration changed, though in no key that is recorded"
    what, why = "configuration", ""
    if changes.keys() == {BUDGET}:
        what = "budget"
        why = "" if why_not == CHANGED else f"; its {why_not or 'checkpoint is gone'}"
    texts = [f"{path} {before} -> {now}" for path, (before, now) in changes.items()]
    more = f" and {len(texts) - KEYS_SHOWN} more" if len(texts) > KEYS_SHOWN else ""
    return f"{what} changed: {', '.join(texts[:KEYS_SHOWN])}{more}{why}"
