"""Open-loop prediction error (E10), also for several orders of the agents (E6).

Cumulative L1 of each observed number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from dima.studies.episodes import RealEpisode, Segments, Study
from dima.world_model.open_loop import observe, open_loop, samplers_of

Row = dict[str, Any]
HORIZON = 20


def cumulative_error(
    predicted: Float[Tensor, "segments horizon agents observation"], segments: Segments
) -> Float[np.ndarray, "segments horizon observation"]:
    """|predicted - real| of each observed number, averaged over agents and added up over the steps so far."""
    return (predicted - segments.observation).abs().mean(dim=2).cumsum(dim=1).cpu().numpy()


def prediction_rows(study: Study, training: list[RealEpisode]) -> list[Row]:
    """Errors of the model, and of its state decoder on the real states, by split, horizon and dimension."""
    model, rows = study.world_model, []
    for split, episodes in {"train": training, "held-out": study.episodes}.items():
        segments = study.segments(episodes, HORIZON)
        states = {
            "model": open_loop(model, model.sampler, *segments.given, study.seed),
            "decoder": model.scale(segments.state),
        }
        for kind, scaled in states.items():
            errors = cumulative_error(observe(model, scaled), segments)
            dimensions = {str(number): errors[..., number] for number in range(errors.shape[-1])} | {
                "mean": errors.mean(axis=-1)
            }
            for dimension, values in dimensions.items():
                keys = {"split": split, "kind": kind, "dimension": dimension}
                rows += [keys | summary for summary in by_horizon(values)]
    return rows


def order_rows(study: Study) -> list[Row]:
    """Errors of the same new segments under every order, averaged over the dimensions."""
    model, segments, rows = study.world_model, study.segments(study.episodes, HORIZON), []
    for name, sampler in samplers_of(model).items():
        predicted = observe(model, open_loop(model, sampler, *segments.given, study.seed))
        rows += [
            {"order": name} | summary
            for summary in by_horizon(cumulative_error(predicted, segments).mean(axis=-1))
        ]
    return rows


def by_horizon(values: Float[np.ndarray, "segments horizon"]) -> list[Row]:
    """Mean and standard deviation over the segments at every horizon."""
    means, deviations = values.mean(axis=0), values.std(axis=0)
    return [
        {
            "horizon": step + 1,
            "error": float(means[step]),
            "std": float(deviations[step]),
            "segments": len(values),
        }
        for step in range(values.shape[1])
    ]
