"""What state a cell's folder is in, and what `dima train` does next (docs/design.md#attempts).

The first row that fits is the state. "This" and "another" compare digests with the configuration asked for.

| state | `provenance.json` | `summary.json` | `completed.json` | checkpoint |
|---|---|---|---|---|
| given up | has `set_aside` | any | any | any |
| finished | any | this | any | any |
| summary damaged | any | damaged | this | any |
| summary removed | any | absent or another | this | any |
| empty | none | none | none | none, nor any other file of an attempt |
| unknown | none, or without a digest | no digest | no digest | yes |
| torn | none, or without a digest | no digest | no digest | no |
| another configuration | another | not this | not this | any |
| both summaries lost | this, finished | not this | not this | none, or no summary is damaged |
| unfinished | this | not this | not this | any |

| state | next step |
|---|---|
| given up | `replace`: finish moving the attempt to `attempts/<n>`, begin the next |
| finished | `nothing` |
| summary damaged | `restore summary` from `completed.json` |
| summary removed | `replace`; in a workflow (`--finished-after`) `restore summary` |
| empty | `begin` attempt 1 |
| unknown | `refuse`, unless the checkpoint holds the history |
| torn, another configuration, both summaries lost | `replace` |
| unfinished | `continue` |

A workflow that forces cells passes its start as `--finished-after`: a cell that finished later is what it
asked for, and one that finished earlier is replaced. `--from-scratch` replaces whatever is there. A cell
finishes in the order `status.json`, `summary.json`, `completed.json`, `provenance.json`; one that was killed
in between is `finished`, and when forced it continues.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from dima.config import CellConfig
from dima.record.attempt import CONFIG, PROVENANCE, History, read_history
from dima.record.files import read_json, write_json

SUMMARY, COMPLETED, STATUS = "summary.json", "completed.json", "status.json"
"""`completed.json` is the summary again, which no workflow removes."""
EVENTS, CHECKPOINT = "events.jsonl", "checkpoint"
ATTEMPT = (SUMMARY, COMPLETED, CHECKPOINT, "studies", "film.mp4", EVENTS, STATUS, CONFIG, PROVENANCE)
"""Files moved to `attempts/<n>`, in this order: tables read no log without a summary, studies need the
checkpoint, and `provenance.json`, which says that the attempt is given up, is last."""

State = Literal[
    "given up", "finished", "summary damaged", "summary removed", "empty", "unknown", "torn",
    "another configuration", "both summaries lost", "unfinished",
]  # fmt: skip
Step = Literal["nothing", "restore summary", "begin", "continue", "replace", "refuse"]
WhyReplaced = Literal["set aside", "torn", "configuration", "finished"]
WHY_REPLACED: dict[State, WhyReplaced] = {
    "given up": "set aside",
    "unknown": "torn",
    "torn": "torn",
    "another configuration": "configuration",
}
FINISHED: tuple[State, ...] = ("finished", "summary damaged", "summary removed")


RunState = Literal["running", "completed", "diverged", "failed", "interrupted"]


class Status(BaseModel, frozen=True, strict=True):
    """The content of `status.json`; some older and synthetic records hold less than what is written today.

    Attributes:
        state: of the run, as its last process left it; a killed one leaves `running`.
        env_steps: environment steps taken in training, of `budget`.
        wall_seconds: training time of the attempt so far.
        latest_return: mean return of the latest evaluation.
        updated: Unix time of writing.
        process: the number of the process, on `host`.
        message: why the run ended, unless it completed.
        synthetic: what a record that no run made says of itself.
    """

    state: RunState
    env_steps: int = 0
    budget: int = 0
    wall_seconds: float = 0.0
    latest_return: float | None = None
    updated: float = 0.0
    process: int | None = None
    host: str | None = None
    message: str | None = None
    synthetic: str | None = None


def parse_status(content: bytes) -> Status | None:
    """The status, None where the content is not one."""
    try:
        return Status.model_validate_json(content)
    except ValidationError:
        return None


def read_status(folder: Path) -> Status | None:
    """What `status.json` in the cell's folder says, None where it is absent or damaged."""
    try:
        return parse_status((folder / STATUS).read_bytes())
    except FileNotFoundError:
        return None


class CellFiles(NamedTuple):
    """What the files of a cell's folder say that decide its state.

    Attributes:
        history: what `provenance.json` says, with the digest in `config.json` where it has none.
        summary: the content of `summary.json`, None where it is absent or damaged.
        completed: the content of `completed.json`, or None.
        damaged: the summaries that are there but cannot be read.
        completed_at: when `completed.json` was written, as Unix time.
        checkpoint: whether there is one.
        others: whether any other file of an attempt is there.
    """

    history: History | None = None
    summary: dict[str, Any] | None = None
    completed: dict[str, Any] | None = None
    damaged: tuple[str, ...] = ()
    completed_at: float = -math.inf
    checkpoint: bool = False
    others: bool = False

    @property
    def done(self) -> dict[str, Any] | None:
        """A sound summary."""
        return self.completed or self.summary

    @property
    def digest(self) -> str | None:
        """The digest of the configuration that the folder is of, None where no file says it."""
        return (self.history or {}).get("digest") or (self.done or {}).get("config_hash")

    @property
    def finished(self) -> bool:
        """Whether the attempt is finished; damaged summaries are made again from checkpoint and log."""
        return bool(self.history and self.history["finished"]) and not (self.checkpoint and self.damaged)


def read_files(folder: Path) -> CellFiles:
    """What the files in the cell's folder say."""
    paths = (folder / SUMMARY, folder / COMPLETED)
    summary, completed = map(read_summary, paths)
    return CellFiles(
        history=read_history(folder),
        summary=summary,
        completed=completed,
        damaged=tuple(path.name for path in paths if path.exists() and read_summary(path) is None),
        completed_at=(folder / COMPLETED).stat().st_mtime if completed else -math.inf,
        checkpoint=any((folder / CHECKPOINT).glob("[0-9]*")),
        others=any((folder / name).exists() for name in ATTEMPT),
    )


def read_summary(path: Path) -> dict[str, Any] | None:
    """The summary in the file, None where it is absent or damaged."""
    summary = read_json(path)
    return summary if isinstance(summary, dict) and {"config_hash", "budget"} <= summary.keys() else None


def restore_summary(folder: Path) -> None:
    """Write the summary of a finished attempt again where it was removed or is damaged."""
    completed = read_summary(folder / COMPLETED)
    if completed is not None and read_summary(folder / SUMMARY) is None:
        write_json(folder / SUMMARY, completed)


def state_of(files: CellFiles, config: CellConfig) -> State:
    """The first state of the table that fits, for a run of `config`."""
    digest, history = config.digest(), files.history
    if history and history.get("set_aside"):
        return "given up"
    if files.summary and files.summary["config_hash"] == digest:
        return "finished"
    if files.completed and files.completed["config_hash"] == digest:
        return "summary damaged" if SUMMARY in files.damaged else "summary removed"
    if not (history or files.done or files.checkpoint or files.others):
        return "empty"
    if files.checkpoint and (history is None or files.digest is None):
        return "unknown"
    if files.digest is None:
        return "torn"
    if files.digest != digest:
        return "another configuration"
    return "both summaries lost" if files.finished else "unfinished"


def why_replaced(files: CellFiles, config: CellConfig) -> WhyReplaced | None:
    """Why the attempt in the folder cannot continue; None where it can, or where there is none."""
    return WHY_REPLACED.get(state_of(files, config)) or ("finished" if files.finished else None)


def next_step(
    files: CellFiles, config: CellConfig, *, finished_after: float = math.inf, from_scratch: bool = False
) -> Step:
    """What `dima train` does with the folder.

    Args:
        files: of the folder.
        config: that is asked for.
        finished_after: Unix time. A run that finished later is what was asked for, even without its summary;
            one that finished earlier is not, even with it. 0 (in a workflow) and infinity: nothing is forced.
        from_scratch: replace whatever is there.
    """
    state, forced = state_of(files, config), 0 < finished_after < math.inf
    if state == "empty":
        return "begin"
    if from_scratch:
        return "replace"
    if state in FINISHED:
        this = files.completed is not None and files.completed["config_hash"] == config.digest()
        recent = this and files.completed_at >= finished_after
        if recent or (not forced and state != "summary removed"):
            return "nothing" if state == "finished" else "restore summary"
    if state == "unknown":
        return "refuse"
    return "replace" if why_replaced(files, config) else "continue"


def is_finished(folder: Path, config: CellConfig, finished_after: float) -> bool:
    """Whether the folder holds the finished run that was asked for; see `next_step`."""
    step = next_step(read_files(folder), config, finished_after=finished_after)
    return step in ("nothing", "restore summary")
