"""Which studies there are of a cell's world model, known from its configuration alone.

Light to import, as the workflow reads it.
"""

from __future__ import annotations

from dima.config import CellConfig, DimaParameters, MambaParameters, MarieParameters, TaskConfig

FRAMES = "frames"


def refusal(config: CellConfig, study: str) -> str | None:
    """Why there is no such study of the cell, in one sentence; None where there is.

    Args:
        config: of the cell.
        study: one of `dima.studies.run.STUDIES`.
    """
    method, task = config.method, config.task
    if isinstance(config.parameters, DimaParameters):
        return None
    if not isinstance(config.parameters, MambaParameters | MarieParameters):
        return f"Method {method} has no world model to study."
    if study != FRAMES:
        return f"Method {method} has no study {study}, since its world model predicts no global states; it has {FRAMES} alone."
    if not observations_tell_state(task):
        place = f"{task.name} with preset {task.preset}"
        return f"The {FRAMES} of {method} are drawn from predicted observations, and those of {place} do not tell the state."
    return None


def observations_tell_state(task: TaskConfig) -> bool:
    """Whether the task's environment has `states_seen`: MAMuJoCo's agents see the whole state, scaled."""
    return task.suite == "mamujoco" and task.preset == "paper"
