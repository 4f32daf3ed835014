"""What an attempt's `provenance.json` says, and whether a cell that is to run continues the attempt, makes it
longer, or begins anew.

`provenance.json` owns the attempt: one file, replaced as a whole. It holds the attempt's number, the digest
and the budget of its configuration, one entry for every process, whether it is finished, of a longer run what
it continues, and, from the moment that it is given up, why: `set_aside`. All other files follow, so that a
kill at any point leaves a whole attempt or one that is known to be given up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from dima.config import CellConfig
from dima.record.files import read_json, write_json

History = dict[str, Any]
"""The content of `provenance.json`."""
PROVENANCE, CONFIG, SUMMARY = "provenance.json", "config.json", "summary.json"
COMPLETED = "completed.json"
"""The summary again, which no workflow removes."""
CHANGED = "configuration was changed"
WhyAnew = Literal["configuration", "finished", "torn", "set aside"]


def read_history(folder: Path) -> History | None:
    """What `provenance.json` in the folder says, with the digest and the budget that older ones leave to
    `config.json`.

    Returns:
        None where it is absent or damaged; a digest or a budget of None where nothing tells it.
    """
    history = read_json(folder / PROVENANCE)
    if not is_history(history):
        return None
    begun = read_json(folder / CONFIG)
    return {**begun_with(begun if isinstance(begun, dict) else {}), **history}


def is_history(content: object) -> bool:
    """Whether this can be what `provenance.json` says."""
    kinds = {"attempt": int, "starts": list, "finished": bool}
    return isinstance(content, dict) and all(
        isinstance(content.get(name), kind) for name, kind in kinds.items()
    )


def begun_with(config: dict[str, Any]) -> History:
    """Digest and budget in the content of `config.json`, None where it does not hold them."""
    try:
        return {"digest": config["digest"], "budget": config["config"]["task"]["env_steps"]}
    except (KeyError, TypeError):
        return {"digest": None, "budget": None}


def read_summary_file(path: Path) -> dict[str, Any] | None:
    """The summary in the file, None where it is absent or damaged."""
    summary = read_json(path)
    return summary if isinstance(summary, dict) and {"config_hash", "budget"} <= summary.keys() else None


def put_summary_back(folder: Path) -> None:
    """Where a finished attempt's summary was removed, or is damaged, write it again."""
    done = read_summary_file(folder / COMPLETED)
    if done is not None and read_summary_file(folder / SUMMARY) is None:
        write_json(folder / SUMMARY, done)


def why_anew(history: History | None, config: CellConfig) -> WhyAnew | None:
    """Why the attempt in a cell's folder does not go on as it is.

    None where it does, or where there is none.
    """
    if history is None:
        return None
    if history.get("set_aside"):
        return "set aside"
    if history["digest"] is None:
        return "torn"
    if history["digest"] != config.digest():
        return "configuration"
    return "finished" if history["finished"] else None


def why_not_longer(history: History, config: CellConfig) -> str | None:
    """Why an attempt of another configuration is not the beginning of a run of this one; None where it is.

    It is where the budget alone was raised and nothing that was computed depends on the budget, but for the
    place where the last epoch ended: a run that had the larger budget from its beginning may go on collecting
    there.

    Args:
        history: of the attempt.
        config: that is asked for.

    Returns:
        what follows "its".
    """
    task, budget = config.task, history["budget"]
    if budget is None or _with_budget(config, budget).digest() != history["digest"]:
        return CHANGED
    if budget >= task.env_steps:
        return "budget was not raised"
    if config.engine == "checkout":
        return "program, that of a checkout, begins again"
    if config.parameters.decays_over_budget:
        return "learning rates decay over the budget"
    if budget % task.evaluation.every:
        return f"last evaluation, at {budget:,} steps, is not one that a longer run makes"
    return None


def _with_budget(config: CellConfig, env_steps: int) -> CellConfig:
    return config.model_copy(update={"task": config.task.model_copy(update={"env_steps": env_steps})})
