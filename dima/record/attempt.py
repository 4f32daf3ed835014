"""What an attempt's `provenance.json` says, and whether a run of a larger budget can continue the attempt.

`provenance.json` owns the attempt: one file, replaced as a whole. It holds the attempt's number, the digest
and the budget of its configuration, one entry for every process, whether it is finished, what a longer run
continues, and, once the attempt is given up, why: `set_aside`. All other files follow, so that a kill at any
point leaves a whole attempt or one that is marked as given up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dima.config import CellConfig
from dima.record.files import read_json

History = dict[str, Any]
"""The content of `provenance.json`."""
PROVENANCE, CONFIG = "provenance.json", "config.json"
CHANGED = "configuration was changed"


def read_history(folder: Path) -> History | None:
    """What `provenance.json` in the folder says; older ones leave digest and budget to `config.json`.

    Returns:
        None where it is absent or damaged; a digest or a budget of None where neither file has it.
    """
    history = read_json(folder / PROVENANCE)
    if not is_history(history):
        return None
    begun = read_json(folder / CONFIG)
    return {**begun_with(begun if isinstance(begun, dict) else {}), **history}


def is_history(content: object) -> bool:
    """Whether this can be the content of `provenance.json`."""
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


def why_not_longer(history: History, config: CellConfig) -> str | None:
    """Why a run of `config` cannot continue an attempt of another configuration; None where it can.

    It can where the budget alone was raised and nothing that was computed depends on the budget, except where
    the last epoch ended: a run that had the larger budget from its beginning may have collected more there.

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
