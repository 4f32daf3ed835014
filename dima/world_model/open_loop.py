"""The world model rolled out along actions that were really taken."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dima.world_model.deterministic import DirectSampler
from dima.world_model.sampler import EulerSampler
from dima.world_model.world_model import WorldModel

NO_ORDER = "none"
"""Name of the rollout of a model that samples without an order of the agents."""


@torch.no_grad()
def open_loop(
    world_model: WorldModel,
    sampler: EulerSampler | DirectSampler,
    history: Float[Tensor, "batch past state"],
    past_action: Float[Tensor, "batch past-1 agents action"],
    action: Float[Tensor, "batch horizon agents action"],
    seed: int,
) -> Float[Tensor, "batch horizon state"]:
    """Predicted states after each step, in scaled units; noise and orders follow from `seed` alone.

    Args:
        world_model: scales the states.
        sampler: of the model, with its own order or another.
        history: raw states up to the start.
        past_action: the actions between them.
        action: those from the start on.
        seed: of one generator for all steps.
    """
    generator = torch.Generator(history.device).manual_seed(seed)
    history, actions, predicted = world_model.scale(history), past_action, []
    for step in range(action.shape[1]):
        actions = torch.cat([actions, action[:, step : step + 1]], dim=1)
        order = sampler.draw_order(len(history), generator)
        noise = sampler.draw_noise(len(history), history.shape[-1], generator)
        state = sampler.sample(history, actions, order, noise)
        predicted.append(state)
        history = torch.cat([history[:, 1:], state[:, None]], dim=1)
        actions = actions[:, 1:]
    return torch.stack(predicted, dim=1)


def samplers_of(world_model: WorldModel) -> dict[str, EulerSampler | DirectSampler]:
    """The model's sampler with every order of the agents that is compared, by name.

    These are the named orders, and for two agents with two turns each the paper's (2, 1, 1, 2); a
    deterministic model has none.
    """
    sampler = world_model.sampler
    if not isinstance(sampler, EulerSampler):
        return {NO_ORDER: sampler}
    orders: dict[str, Any] = {name: name for name in ("descending", "ascending", "random")}
    if (sampler.steps, sampler.denoiser.agents) == (4, 2):
        orders["2-1-1-2"] = (2, 1, 1, 2)
    device = sampler.sigmas.device
    return {
        name: EulerSampler(sampler.denoiser, sampler.config.model_copy(update={"order": order}), device)
        for name, order in orders.items()
    }


def own_order_first(world_model: WorldModel) -> dict[str, EulerSampler | DirectSampler]:
    """`samplers_of`, the one that the model is used with first, also where it is none of them."""
    sampler, samplers = world_model.sampler, samplers_of(world_model)
    if not isinstance(sampler, EulerSampler):
        return samplers
    order = sampler.config.order
    return {order if isinstance(order, str) else "-".join(map(str, order)): sampler} | samplers


def observe(
    world_model: WorldModel, scaled: Float[Tensor, "batch horizon state"]
) -> Float[Tensor, "batch horizon agents observation"]:
    """Every agent's observation of the predicted states."""
    with torch.no_grad():
        return world_model.observe(scaled.flatten(0, 1)).unflatten(0, scaled.shape[:2])
