"""Learners as a cell's newest sound checkpoint left them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dima.cell.checkpoint import load_checkpoint
from dima.cell.methods import build_learner
from dima.config import CellConfig, older_method
from dima.errors import UserError
from dima.learning.learner import Imagining
from dima.record.files import read_json


def restored(config: CellConfig, folder: Path, device: torch.device) -> Imagining:
    """Everything, on the kind of device that the cell was trained on.

    Raises UserError where there is no checkpoint, or that of an older method.
    """
    state = _saved(folder)
    if state is None:
        raise UserError(f"{folder} has no checkpoint to study.")
    learner = _built(config, device)
    learner.load_state_dict(state["learner"])
    return learner


def acting(config: CellConfig, folder: Path) -> Imagining:
    """What acting needs, on the CPU, whatever device the cell was trained on.

    Raises UserError as `restored`.
    """
    state = _saved(folder)
    if state is None:
        raise UserError(
            f"{folder} has no checkpoint: its policy acts in the frames of every method with its task and seed."
        )
    learner = _built(config, torch.device("cpu"))
    learner.load_policy(state["learner"])
    return learner


def _built(config: CellConfig, device: torch.device) -> Imagining:
    learner = build_learner(config, device)
    if not isinstance(learner, Imagining):
        raise TypeError(f"{type(learner).__name__} has no world model")
    return learner


def _saved(folder: Path) -> dict[str, Any] | None:
    begun = read_json(folder / "config.json")
    older = older_method(begun["config"]) if begun else ""
    if older:
        raise UserError(f"{folder} was {older}: train it again.")
    state, faults = load_checkpoint(folder / "checkpoint")
    for fault in faults:
        print(fault)
    return state
