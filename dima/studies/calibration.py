"""Predicted reward and termination against the real ones, on real states and actions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import binomtest

from dima.studies.episodes import Study

REWARD_BINS = 10
TERMINATION_EDGES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
NORMAL_QUANTILE = 1.96


@torch.no_grad()
def calibration_rows(study: Study, horizon: int) -> list[dict[str, Any]]:
    """Means of predicted and real values in bins of the prediction, over all windows of `horizon` steps.

    Reward has bins of equally many steps, termination bins of fixed edges. An end is defined as in training:
    with timeouts or without.
    """
    world_model, device = study.world_model, study.device
    model = world_model.reward_model
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("reward", "real_reward", "end", "real_end")}
    for episode in study.episodes:
        for first in range(0, len(episode), horizon):
            part = slice(first, first + horizon)
            states, actions = (
                torch.from_numpy(values[part]).float().to(device)[None]
                for values in (episode.state, episode.action)
            )
            reward, logits = model(world_model.normalizer(states), actions)
            continuing = (
                logits[..., 0].sigmoid()
                if model.config.termination == "bernoulli"
                else logits.softmax(dim=-1)[..., 0]
            )
            ended = (
                episode.terminated | episode.truncated
                if model.config.timeout_is_termination
                else episode.terminated
            )
            values = (
                reward[0].cpu().numpy(),
                episode.reward[part],
                1 - continuing[0].cpu().numpy(),
                ended[part].astype(float),
            )
            for name, value in zip(found, values, strict=True):
                found[name].append(value)
    reward, real_reward, end, real_end = (
        np.concatenate(values).astype(np.float64) for values in found.values()
    )
    edges = np.unique(np.quantile(reward, np.linspace(0, 1, REWARD_BINS + 1)))
    rows = [{"kind": "reward"} | row for row in _bins(reward, real_reward, edges, _mean_interval)]
    return rows + [
        {"kind": "termination"} | row
        for row in _bins(end, real_end, np.array(TERMINATION_EDGES), _share_interval)
    ]


def _bins(
    predicted: Float[np.ndarray, " steps"],
    observed: Float[np.ndarray, " steps"],
    edges: Float[np.ndarray, " edges"],
    interval: Any,
) -> list[dict[str, Any]]:
    """One row for each non-empty bin; the last one includes its upper edge."""
    bins = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, max(0, len(edges) - 2))
    rows = []
    for number in np.unique(bins):
        chosen = bins == number
        low, high = interval(observed[chosen])
        rows.append(
            {
                "low": float(edges[number]),
                "high": float(edges[min(number + 1, len(edges) - 1)]),
                "predicted": float(predicted[chosen].mean()),
                "observed": float(observed[chosen].mean()),
                "observed_low": low,
                "observed_high": high,
                "count": int(chosen.sum()),
            }
        )
    return rows


def _mean_interval(values: Float[np.ndarray, " steps"]) -> tuple[float, float]:
    """95 % of a normal mean; steps of an episode are correlated, so it is rather too narrow."""
    error = NORMAL_QUANTILE * values.std() / np.sqrt(len(values))
    return float(values.mean() - error), float(values.mean() + error)


def _share_interval(values: Float[np.ndarray, " steps"]) -> tuple[float, float]:
    """95 % of a proportion, by Wilson."""
    found = binomtest(int(values.sum()), len(values)).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
