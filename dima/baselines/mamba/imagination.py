"""Rollouts of the current policy in the latent states of MAMBA's world model
(docs/baselines.md#mamba-behaviour).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dima.baselines.mamba.latent import LatentState
from dima.baselines.mamba.recurrent_model import RecurrentModel
from dima.behavior.networks import Actor


@dataclass(frozen=True)
class LatentRollout:
    """Imagined experience; one latent state more than steps.

    Actions are as sampled, rewards the mean over the agents.
    """

    feature: Float[Tensor, "batch states agents feature"]
    action: Float[Tensor, "batch time agents action"]
    reward: Float[Tensor, "batch time"]
    continuation: Float[Tensor, "batch time agents"]


@torch.no_grad()
def imagine(
    model: RecurrentModel,
    actor: Actor,
    start: LatentState,
    horizon: int,
    policy_noise: torch.Generator,
    latent_noise: torch.Generator,
) -> LatentRollout:
    """Roll the policy out over `horizon` latent states, the start among them.

    The last state only bootstraps: what would be done in it is dropped, so there are `horizon` - 1 steps. The
    world model is given actions as the environments clip them (adaptation 3).

    Args:
        model: in evaluation mode.
        actor: acts on every agent's feature.
        start: latent states [batch, agents, ...].
        horizon: H.
        policy_noise: actions are drawn from it.
        latent_noise: stochastic states are drawn from it.
    """
    states, actions = [start], []
    for _ in range(horizon - 1):
        actions.append(actor.sample(states[-1].feature, policy_noise))
        states.append(model.imagine_step(states[-1], actions[-1].clamp(-1, 1), latent_noise))
    stochastic = torch.stack([state.stochastic for state in states[:-1]], dim=1)
    deterministic = torch.stack([state.deterministic for state in states[1:]], dim=1)
    reward, continuation = model.outcome(stochastic, deterministic)
    return LatentRollout(
        feature=torch.stack([state.feature for state in states], dim=1),
        action=torch.stack(actions, dim=1),
        reward=reward.mean(dim=-1),
        continuation=continuation.sigmoid(),
    )


@torch.no_grad()
def filtered(
    model: RecurrentModel,
    observations: Float[Tensor, "states agents observation"],
    actions: Float[Tensor, "states-1 agents action"],
) -> LatentState:
    """The latent state after an episode so far, for one world: at every step the posterior's most likely one.

    The model is given actions as the environments clip them, as in training.
    """
    state = model.initial(1, observations.shape[1])
    previous = torch.cat([actions.new_zeros(1, *actions.shape[1:]), actions.clamp(-1, 1)])
    for observation, action in zip(observations, previous, strict=True):
        state = model.observe_step(state, action[None], observation[None], None)
    return state


@torch.no_grad()
def imagine_along(
    model: RecurrentModel,
    start: LatentState,
    actions: Float[Tensor, "horizon agents action"],
    generator: torch.Generator,
) -> Float[Tensor, "horizon agents observation"]:
    """Observations decoded from the latent states that the prior gives from `start` on."""
    state, observations = start, []
    for action in actions.clamp(-1, 1):
        state = model.imagine_step(state, action[None], generator)
        observations.append(model.observation_head(model.decoder(state.feature))[0])
    return torch.stack(observations)
