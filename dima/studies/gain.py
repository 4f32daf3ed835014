"""Whose actions the model heeds (X1).

One agent's action is changed in the simulator and in the model, and the two changes are compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dima.analysis.returns.statistics import bootstrap_interval
from dima.studies.episodes import Study, cut
from dima.world_model.open_loop import NO_ORDER, open_loop, samplers_of

CHANGE = 0.3
"""Size of the change of each number of an action; actions are moved this far inside [-1, 1] first, so that no
simulator clips it."""


def gain_rows(study: Study) -> list[dict[str, Any]]:
    """The gain of every agent under every order, with a bootstrap interval over the segments.

    With s+ and s- the next states after a change of one agent's action in one direction and in the other, and
    d = (s+ - s-) / 2 in scaled units, the gain is the regression sum(d_model . d_real) / sum(d_real .
    d_real): 1 where the model does what the simulator does, 0 where it does not heed the action. Noise and
    order are the same for both signs.
    """
    world_model, device, seed = study.world_model, study.device, study.seed
    chosen = study.starts(study.episodes, 1)
    segments = cut(study.episodes, chosen, study.past, 1, device)
    generator = np.random.default_rng([seed, 1])
    scale = world_model.sigma_data / (world_model.normalizer.variance + 1e-8).sqrt().cpu().numpy()
    base = segments.action.clamp(CHANGE - 1, 1 - CHANGE)
    agents = base.shape[2]
    signs = torch.from_numpy(generator.choice([-1.0, 1.0], size=tuple(base.shape))).to(base)
    changes = {
        agent: CHANGE * signs * torch.eye(agents, device=device)[agent][:, None] for agent in range(agents)
    }
    real = {}
    for agent, change in changes.items():
        up, down = (_simulated(study, chosen, base + sign * change) for sign in (1, -1))
        real[agent] = (up - down) / 2 * scale
    rows = []
    for name, sampler in samplers_of(world_model).items():
        turns = (
            None
            if name in ("random", NO_ORDER)
            else sampler.draw_order(1, torch.Generator(device))[0].tolist()
        )
        for agent, change in changes.items():
            up, down = (
                open_loop(
                    world_model,
                    sampler,
                    segments.history,
                    segments.past_action,
                    base + sign * change,
                    seed,
                )[:, 0]
                .double()
                .cpu()
                .numpy()
                for sign in (1, -1)
            )
            if real[agent].any():  # an action that moves nothing has no gain
                keys = {"order": name, "agent": agent + 1, "position": place(agent, turns)}
                rows.append(keys | regression((up - down) / 2, real[agent]))
    return rows


def place(agent: int, turns: list[int] | None) -> int:
    """Rank of the agent's last turn among all agents' last turns, from 1; 0 where there is no fixed order."""
    if turns is None:
        return 0
    last = {other: step for step, other in enumerate(turns)}
    return 1 + sum(step < last[agent] for step in last.values()) if agent in last else 0


def regression(
    model: Float[np.ndarray, "segments state"], real: Float[np.ndarray, "segments state"]
) -> dict[str, Any]:
    """Slope through the origin of the model's changes on the real ones, its interval, and the correlation of
    the two.
    """
    products = np.stack([(model * real).sum(axis=1), (real * real).sum(axis=1)])
    low, high = bootstrap_interval(
        [products], lambda resampled: resampled[:, 0].sum(axis=-1) / resampled[:, 1].sum(axis=-1)
    )
    together, alone = products.sum(axis=1)
    size = np.sqrt(np.square(model).sum() * alone)
    return {
        "gain": float(together / alone),
        "low": float(low),
        "high": float(high),
        "correlation": float(together / size) if size > 0 else 0.0,
        "segments": len(model),
    }


def _simulated(
    study: Study, chosen: list[tuple[int, int]], action: Float[Tensor, "segments 1 agents action"]
) -> Float[np.ndarray, "segments state"]:
    """The simulator's next states, in raw units and float64."""
    found = []
    for (number, step), joint in zip(chosen, action.cpu().numpy(), strict=True):
        study.environment.set_sim_state(study.episodes[number].simulations[step])
        found.append(study.environment.step(joint).info["final_state"][0])
    return np.stack(found).astype(np.float64)
