"""Pictures of real and imagined states (E4, E5) and the errors of imagined observations, in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

import envs
from dima.record.files import replacing
from dima.studies.rollouts import Rollout
from dima.studies.scene import Scene

SIDE = 240
"""Of a picture, in pixels."""
WHITE = 255
NO_RECORD_IS_SYNTHETIC = ""


def save_frames(
    path: Path, environment: envs.BatchedEnvironment, scene: Scene, rollouts: list[Rollout]
) -> Path:
    """Write `frames_of` atomically to a file that `numpy.load` reads; equal arrays are equal bytes."""
    arrays = frames_of(environment, scene, rollouts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        np.savez_compressed(aside, allow_pickle=False, **arrays)
    return path


def frames_of(
    environment: envs.BatchedEnvironment, scene: Scene, rollouts: list[Rollout]
) -> dict[str, np.ndarray]:
    """The arrays, for R rollouts and S steps.

    steps [S]: after the start. real [S, H, W, 3], imagined [R, S, H, W, 3]: the states drawn in RGB, white
    where a model does not reach the step. names [R]: of the rollouts. error [R, S]: mean over agents and
    observation dimensions of |imagined - real observation|; NaN where a model does not reach the step. still
    [S]: the same of the observation at the start, the error of predicting no change. episode, start: whose
    policy acted, and the step of the episode after which imagination begins. synthetic: empty, as this was
    computed.
    """
    shown = np.array(scene.steps)
    still = np.abs(scene.episode.observation[scene.start].astype(np.float64) - scene.observation).mean(
        axis=(1, 2)
    )
    return {
        "steps": shown.astype(np.int64),
        "real": _drawn(environment, scene, scene.state),
        "names": np.array([rollout.name for rollout in rollouts]),
        "imagined": np.stack(
            [_drawn(environment, scene, rollout.state[: _sound(rollout)]) for rollout in rollouts]
        ),
        "error": np.stack([observation_error(scene, rollout) for rollout in rollouts])[:, shown - 1],
        "still": still[shown - 1],
        "episode": np.array(scene.actor),
        "start": np.array(scene.start, dtype=np.int64),
        "synthetic": np.array(NO_RECORD_IS_SYNTHETIC),
    }


def observation_error(scene: Scene, rollout: Rollout) -> Float[np.ndarray, " horizon"]:
    """Mean over agents and observation dimensions of |imagined - real| after each step; NaN past the end."""
    errors, reached = np.full(scene.horizon, np.nan), _sound(rollout)
    errors[:reached] = np.abs(
        rollout.observation[:reached].astype(np.float64) - scene.observation[:reached]
    ).mean(axis=(1, 2))
    return errors


def _sound(rollout: Rollout) -> int:
    """How many steps are imagined before anything is not finite, in the precision that is drawn."""
    with np.errstate(over="ignore"):
        sound = np.isfinite(rollout.state.astype(np.float32)).all(axis=1) & np.isfinite(
            rollout.observation
        ).all(axis=(1, 2))
    return int(np.logical_and.accumulate(sound).sum())


def _drawn(
    environment: envs.BatchedEnvironment, scene: Scene, states: Float[np.ndarray, "reached state"]
) -> UInt8[np.ndarray, "shown height width 3"]:
    """Pictures of the shown steps, drawn from the start on so that every robot starts at one place."""
    consecutive = np.concatenate([scene.episode.state[scene.start : scene.start + 1], states]).astype(
        np.float32
    )
    pictures = environment.render_states(consecutive, SIDE, SIDE)
    white = np.full_like(pictures[0], WHITE)
    return np.stack([pictures[step] if step < len(pictures) else white for step in scene.steps])
