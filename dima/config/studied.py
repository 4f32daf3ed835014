"""Which studies there are of a cell's world model, by its configuration; light, as the workflow reads it."""

from __future__ import annotations

from dima.config import CellConfig

FRAMES = "frames"


def refusal(config: CellConfig, study: str) -> str | None:
    """Why there is no such study of the cell, in one sentence; None where there is.

    Args:
        config: of the cell.
        study: one of `dima.studies.run.STUDIES`.
    """
    method, task, imagined = config.method, config.task, config.parameters.imagines
    if imagined is None:
        return f"Method {method} has no world model to study."
    if imagined == "states":
        return None
    if study != FRAMES:
        return (
            f"Method {method} has no study {study}, since its world model predicts no global states; "
            f"it has {FRAMES} alone."
        )
    if not task.observations_tell_state:
        return (
            f"The {FRAMES} of {method} are drawn from predicted observations, "
            f"and those of {task.name} with preset {task.preset} do not tell the state."
        )
    return None
