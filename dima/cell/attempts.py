"""The attempts of a cell: the current one continues, or is moved to `attempts/<n>` and the next begins."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from dima.cell.checkpoint import has_checkpoint, load_checkpoint
from dima.config import CellConfig, older_method
from dima.errors import UserError
from dima.record.attempt import CONFIG, PROVENANCE, History, read_history, why_not_longer
from dima.record.cell_state import (
    ATTEMPT,
    CHECKPOINT,
    EVENTS,
    CellFiles,
    read_files,
    restore_summary,
    state_of,
    why_replaced,
)
from dima.record.files import read_json, write_atomically, write_json


def begin_process(config: CellConfig, folder: Path, start: dict[str, Any], *, from_scratch: bool) -> History:
    """Continue the attempt in `folder` or replace it, by the table in `dima.record.cell_state`.

    Args:
        config: that is asked for.
        folder: of the cell.
        start: what this process runs with.
        from_scratch: replace whatever is there.

    Returns:
        the history of the attempt, with this process in it.

    Raises:
        UserError: there is a checkpoint, but no file says which configuration it is of.
    """
    files = read_files(folder)
    if files.history is None and files.checkpoint and not from_scratch:
        files = files._replace(history=_saved_history(folder))
    state = state_of(files, config)
    if state == "unknown" and not from_scratch:
        raise UserError(_refusal(folder / CONFIG, "which configuration it is of"))
    history = None if state == "empty" else _history(files, folder)
    why = why_replaced(files, config) or ("from scratch" if from_scratch else None)
    if history and why:
        _set_aside(folder, history, why)
        history = None
    history = history or _next_attempt(config, folder, from_scratch)
    history = {**history, "starts": [*history["starts"], start]}
    write_json(folder / PROVENANCE, history)
    write_json(folder / CONFIG, {"digest": config.digest(), "config": config.model_dump(mode="json")})
    return history


def continued_from(folder: Path, history: History) -> Path:
    """The folder whose checkpoint the attempt continues from: its own, or that of a shorter attempt.

    The log of a shorter attempt becomes the beginning of its own.

    Raises:
        UserError: that attempt's checkpoint is gone.
    """
    if "continued" not in history or has_checkpoint(folder / CHECKPOINT):
        return folder
    earlier = _archive(folder, history["continued"]["attempt"])
    if not has_checkpoint(earlier / CHECKPOINT):
        gone = f"{earlier / CHECKPOINT}, which {folder} continues from, is gone"
        raise UserError(f"{gone}; start again with --from-scratch.")
    if not (folder / EVENTS).exists():
        write_atomically(folder / EVENTS, (earlier / EVENTS).read_text(encoding="utf-8"))
    return earlier


def drop_earlier_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of earlier attempts, once the current one has its own."""
    for path in folder.glob(f"attempts/*/{CHECKPOINT}"):
        shutil.rmtree(path)


def _history(files: CellFiles, folder: Path) -> History:
    """The history of the attempt, completed from its summary where `provenance.json` is damaged or older."""
    history = files.history or {
        "attempt": _next_number(folder),
        "digest": None,
        "budget": None,
        "starts": [],
    }
    if history["digest"] is None and files.done:
        history = history | {"digest": files.done["config_hash"], "budget": files.done["budget"]}
    return history | {"finished": files.finished}


def _saved_history(folder: Path) -> History:
    """The history in the newest checkpoint."""
    state, _ = load_checkpoint(folder / CHECKPOINT)
    history = (state or {}).get("history")
    if history is None:
        raise UserError(_refusal(folder / PROVENANCE, "which attempt it is of"))
    print(f"{folder / PROVENANCE} {_fault(folder / PROVENANCE)}; it is restored from the checkpoint.")
    return history


def _refusal(path: Path, what: str) -> str:
    return (
        f"{path} {_fault(path)}, and the checkpoint in its folder does not say {what}: restore the file to"
        f" continue, or start again with --from-scratch, which keeps the checkpoint until there is a new one."
    )


def _fault(path: Path) -> str:
    return "is damaged" if path.exists() else "is missing"


def _set_aside(folder: Path, history: History, why: str) -> None:
    """Mark the attempt and move it to `attempts/<n>`; after a kill the next process completes the move."""
    if not history.get("set_aside"):
        history = {**history, "set_aside": why}
        write_json(folder / PROVENANCE, history)
    archive = _archive(folder, history["attempt"])
    archive.mkdir(parents=True, exist_ok=True)
    for name in ATTEMPT:
        if name == PROVENANCE:
            restore_summary(archive)
        if (folder / name).exists():
            (folder / name).replace(archive / name)


def _next_attempt(config: CellConfig, folder: Path, from_scratch: bool) -> History:
    """The history of an attempt that no process has worked on yet."""
    begun = {
        "attempt": _next_number(folder),
        "digest": config.digest(),
        "budget": config.task.env_steps,
        "starts": [],
        "finished": False,
    }
    earlier = None if from_scratch else _shorter(config, folder)
    if earlier is None:
        return begun
    steps = f"{earlier['budget']:,} to {begun['budget']:,} environment steps"
    print(f"{folder}: the budget was raised from {steps}.")
    return begun | {
        "starts": earlier["starts"],
        "continued": {name: earlier[name] for name in ("attempt", "digest", "budget")},
    }


def _shorter(config: CellConfig, folder: Path) -> History | None:
    """The attempt with a smaller budget that a run of `config` continues, if any."""
    kept = [number for number in _numbers(folder) if has_checkpoint(_archive(folder, number) / CHECKPOINT)]
    earlier = read_history(_archive(folder, max(kept))) if kept else None
    if earlier is None or earlier.get("set_aside") != "configuration":
        return None
    why = why_not_longer(earlier, config)
    if why:
        print(f"{folder} starts again: {_older(_archive(folder, max(kept))) or f'its {why}'}.")
    return None if why else earlier


def _older(archive: Path) -> str:
    """That an older method trained the attempt, if it did."""
    begun = read_json(archive / CONFIG)
    older = older_method(begun.get("config")) if isinstance(begun, dict) else ""
    return older and f"it was {older}"


def _archive(folder: Path, attempt: int) -> Path:
    return folder / "attempts" / str(attempt)


def _numbers(folder: Path) -> list[int]:
    return [int(path.name) for path in (folder / "attempts").glob("[0-9]*")]


def _next_number(folder: Path) -> int:
    """One more than the attempts that were set aside, so that no archive is overwritten."""
    return 1 + max(_numbers(folder), default=0)
