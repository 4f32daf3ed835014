"""The attempts of a cell in its folder: the current one goes on, or is set aside and followed by the next."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from dima.cell.checkpoint import has_checkpoint, load_checkpoint
from dima.config import CellConfig, older_method
from dima.errors import UserError
from dima.record.attempt import (
    COMPLETED,
    CONFIG,
    PROVENANCE,
    SUMMARY,
    History,
    put_summary_back,
    read_history,
    read_summary_file,
    why_anew,
    why_not_longer,
)
from dima.record.files import read_json, write_atomically, write_json

EVENTS, CHECKPOINT = "events.jsonl", "checkpoint"
ARCHIVED = (SUMMARY, COMPLETED, CHECKPOINT, "studies", "film.mp4", EVENTS, "status.json", CONFIG, PROVENANCE)
"""What is set aside of an attempt, in this order: without a summary no table asks for the log, without a
checkpoint no study is made, and what says that the attempt is given up goes last. Studies and films show its
policy and its world model, not the next one's."""


def begin_process(config: CellConfig, folder: Path, start: dict[str, Any], *, from_scratch: bool) -> History:
    """Continue the attempt in `folder`, or set it aside where it is finished, of another configuration, or
    unwanted.

    Args:
        config: that is asked for.
        folder: of the cell.
        start: what is to be known of this process.
        from_scratch: whatever is there is unwanted.

    Returns:
        the history of the attempt, with this process in it.

    Raises:
        UserError: there is a checkpoint, but nothing tells what it is of.
    """
    history = _current(folder, from_scratch)
    why = why_anew(history, config) or ("from scratch" if from_scratch else None)
    if history and why:
        _set_aside(folder, history, why)
        history = None
    history = history or _next_attempt(config, folder, from_scratch)
    history = {**history, "starts": [*history["starts"], start]}
    write_json(folder / PROVENANCE, history)
    write_json(folder / CONFIG, {"digest": config.digest(), "config": config.model_dump(mode="json")})
    return history


def continued_from(folder: Path, history: History) -> Path:
    """The folder whose checkpoint the attempt continues from.

    The cell's, or, until it holds one, that of the attempt it makes longer.

    The log of that attempt becomes the beginning of its own.

    Raises:
        UserError: that attempt's checkpoint is gone.
    """
    if "continued" not in history or has_checkpoint(folder / CHECKPOINT):
        return folder
    earlier = _archive(folder, history["continued"]["attempt"])
    if not has_checkpoint(earlier / CHECKPOINT):
        raise UserError(
            f"{earlier / CHECKPOINT}, which {folder} is to continue from, is gone; --from-scratch begins anew."
        )
    if not (folder / EVENTS).exists():
        write_atomically(folder / EVENTS, (earlier / EVENTS).read_text(encoding="utf-8"))
    return earlier


def drop_earlier_checkpoints(folder: Path) -> None:
    """Remove those of earlier attempts, once the current one has its own."""
    for path in folder.glob(f"attempts/*/{CHECKPOINT}"):
        shutil.rmtree(path)


def _current(folder: Path, from_scratch: bool) -> History | None:
    """The history of the attempt in the folder, made again where its file is damaged.

    None where there is no attempt.
    """
    history = read_history(folder)
    checkpoint = has_checkpoint(folder / CHECKPOINT)
    if history is None:
        if not any((folder / name).exists() for name in ARCHIVED):
            return None
        history = _saved_history(folder) if checkpoint and not from_scratch else None
        history = history or {
            "attempt": _next_number(folder),
            "digest": None,
            "budget": None,
            "starts": [],
            "finished": False,
        }
    summaries = {
        path: read_summary_file(path) for path in (folder / COMPLETED, folder / SUMMARY) if path.exists()
    }
    done = next(filter(None, summaries.values()), None)
    if history["digest"] is None and done:
        history |= {"digest": done["config_hash"], "budget": done["budget"]}
    if history["digest"] is None and checkpoint and not (from_scratch or history.get("set_aside")):
        raise UserError(_refusal(folder / CONFIG, "which configuration it is of"))
    # a damaged summary is made again from the last checkpoint and the log
    return history | {"finished": history["finished"] and not (checkpoint and None in summaries.values())}


def _saved_history(folder: Path) -> History:
    """The history in the newest checkpoint."""
    state, _ = load_checkpoint(folder / CHECKPOINT)
    history = (state or {}).get("history")
    if history is None:
        raise UserError(_refusal(folder / PROVENANCE, "where it comes from"))
    print(f"{folder / PROVENANCE} {_fault(folder / PROVENANCE)}; it is made again from the checkpoint.")
    return history


def _refusal(path: Path, what: str) -> str:
    return (
        f"{path} {_fault(path)}, and the checkpoint beside it does not say {what}: put the file back and the cell continues;"
        f" --from-scratch begins anew, and keeps the checkpoint until there is a new one."
    )


def _fault(path: Path) -> str:
    return "is damaged" if path.exists() else "is missing"


def _set_aside(folder: Path, history: History, why: str) -> None:
    """Keep all of the old attempt under `attempts/<n>`.

    Once it is marked, whoever comes next after a kill does the rest.
    """
    if not history.get("set_aside"):
        history = {**history, "set_aside": why}
        write_json(folder / PROVENANCE, history)
    archive = _archive(folder, history["attempt"])
    archive.mkdir(parents=True, exist_ok=True)
    for name in ARCHIVED:
        if name == PROVENANCE:
            put_summary_back(archive)
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
    print(
        f"{folder}: the budget was raised from {earlier['budget']:,} to {begun['budget']:,} environment steps."
    )
    return begun | {
        "starts": earlier["starts"],
        "continued": {name: earlier[name] for name in ("attempt", "digest", "budget")},
    }


def _shorter(config: CellConfig, folder: Path) -> History | None:
    """The attempt, set aside because the configuration changed, that a run of `config` continues.

    None where there is none.
    """
    kept = [number for number in _numbers(folder) if has_checkpoint(_archive(folder, number) / CHECKPOINT)]
    earlier = read_history(_archive(folder, max(kept))) if kept else None
    if earlier is None or earlier.get("set_aside") != "configuration":
        return None
    why = why_not_longer(earlier, config)
    if why:
        print(f"{folder} begins anew: {_older(_archive(folder, max(kept))) or f'its {why}'}.")
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
    """One more than the attempts that were set aside: no archive is ever written over."""
    return 1 + max(_numbers(folder), default=0)
