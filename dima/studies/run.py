"""`dima study`: one study of one cell's world model, from its newest checkpoint to a file beside the cell's
records.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

import envs
from dima.config import CellConfig
from dima.config.studied import FRAMES, refusal
from dima.errors import UserError
from dima.learning.dima_learner import DimaLearner
from dima.learning.learner import Learner
from dima.record.files import replacing
from dima.studies.calibration import calibration_rows
from dima.studies.episodes import Study, held_out_episodes, training_episodes
from dima.studies.frames import save_frames
from dima.studies.gain import gain_rows
from dima.studies.prediction import order_rows, prediction_rows
from dima.studies.restore import restored
from dima.studies.rollouts import imagined
from dima.studies.scene import play_scene

STUDIES = ("prediction", "orders", "gain", "calibration", FRAMES)
EPISODES = 10
"""New episodes that the model is compared with."""


def run_study(
    name: str,
    config: CellConfig,
    folder: Path,
    segments: int,
    device: torch.device,
    lead: tuple[CellConfig, Path] | None = None,
) -> Path:
    """Write the study of the cell in `folder`, whole or not at all, and return its path.

    Args:
        name: one of `STUDIES`.
        config: of the cell.
        folder: of the cell.
        segments: pieces of episodes that are compared (of each split); `frames` have one.
        device: that the cell was trained on.
        lead: configuration and folder of the cell whose policy acts in the frames; None: the cell itself.

    Raises:
        UserError: the cell or the lead has no checkpoint, or the cell nothing that this study looks at.
    """
    refused = refusal(config, name)
    if refused is not None:
        raise UserError(refused)
    task = config.task
    with (
        closing(restored(config, folder, device)) as learner,
        closing(
            envs.make(task.name, seed=config.seed, preset=task.preset, engine=task.simulator)
        ) as environment,
    ):
        if name == FRAMES:
            scene = play_scene(*(lead or (config, folder)))
            rollouts = imagined(learner, environment, scene, config.seed)
            return save_frames(folder / "studies" / f"{FRAMES}.npz", environment, scene, rollouts)
        rows = _rows(name, learner, environment, config, segments, device)
    path = folder / "studies" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        _write(aside, rows)
    return path


def _rows(
    name: str,
    learner: Learner,
    environment: envs.BatchedEnvironment,
    config: CellConfig,
    segments: int,
    device: torch.device,
) -> list[dict[str, Any]]:
    """The numbers of a study of DIMA or a variant of it."""
    if not isinstance(learner, DimaLearner):
        raise TypeError(f"{config.method} is no variant of DIMA")
    task, parameters = config.task, learner.parameters
    try:
        episodes = held_out_episodes(learner, task, config.seed, EPISODES, keep_simulations=name == "gain")
        past = parameters.denoiser.conditioning_states
        study = Study(learner.world_model, environment, episodes, past, segments, device, config.seed)
        return {
            "prediction": lambda: prediction_rows(study, training_episodes(learner)),
            "orders": lambda: order_rows(study),
            "gain": lambda: gain_rows(study),
            "calibration": lambda: calibration_rows(study, parameters.behavior.horizon),
        }[name]()
    except envs.UnsupportedSimStateError as error:
        message = f"The study {name} sets the simulator's state, and that of {task.name} in {task.simulator} cannot be set."
        raise UserError(message) from error


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
