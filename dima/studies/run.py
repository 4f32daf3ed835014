"""`dima study`: one study of one cell's world model, from its newest checkpoint to a file beside the cell's records."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

import envs
from dima.analysis.replace_file import replace_file
from dima.checkpoint import load_checkpoint
from dima.config import CellConfig, DimaParameters
from dima.errors import UserError
from dima.studies.calibration import calibration_rows
from dima.studies.episodes import Study, held_out_episodes, training_episodes
from dima.studies.frames import save_frames
from dima.studies.gain import gain_rows
from dima.studies.prediction import order_rows, prediction_rows
from dima.train import DimaLearner

STUDIES = ("prediction", "orders", "gain", "calibration", "frames")
EPISODES = 10
"""New episodes that the model is compared with."""


def run_study(name: str, config: CellConfig, folder: Path, segments: int, device: torch.device) -> Path:
    """Write the study of the cell in `folder`, whole or not at all, and return its path.

    Args:
        name: one of `STUDIES`.
        config: of the cell.
        folder: of the cell.
        segments: pieces of episodes that are compared (of each split).
        device: that the cell was trained on.

    Raises:
        UserError: the cell has no world model, no checkpoint, or nothing that this study looks at.
    """
    with closing(_restored(config, folder, device)) as learner:
        task, model = config.task, learner.world_model
        with closing(envs.make(task.name, seed=config.seed, preset=task.preset, engine=task.simulator)) as environment:
            try:
                episodes = held_out_episodes(learner, task, config.seed, EPISODES, keep_simulations=name == "gain")
                study = Study(model, environment, episodes, learner.parameters.denoiser.conditioning_states, segments, device, config.seed)
                if name == "frames":
                    return save_frames(folder / "studies" / "frames.png", study)
                rows = {
                    "prediction": lambda: prediction_rows(study, training_episodes(learner)),
                    "orders": lambda: order_rows(study),
                    "gain": lambda: gain_rows(study),
                    "calibration": lambda: calibration_rows(study, learner.parameters.behavior.horizon),
                }[name]()
            except envs.UnsupportedSimStateError as error:
                message = f"The study {name} sets the simulator's state, and that of {task.name} in {task.simulator} cannot be set."
                raise UserError(message) from error
    return replace_file(folder / "studies" / f"{name}.csv", lambda path: _write(path, rows))


def _restored(config: CellConfig, folder: Path, device: torch.device) -> DimaLearner:
    """The cell's learner as its newest sound checkpoint left it."""
    if not isinstance(config.parameters, DimaParameters):
        raise UserError(f"Method {config.method} has no world model to study.")
    state, faults = load_checkpoint(folder / "checkpoint")
    for fault in faults:
        print(fault)
    if state is None:
        raise UserError(f"{folder} has no checkpoint to study.")
    learner = DimaLearner(config, device, graphs=False)
    learner.load_state_dict(state["learner"])
    return learner


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
