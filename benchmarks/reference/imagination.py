"""Imagined rollouts: every step samples the next state and scores reward and termination over all that has happened so far."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.reference.behavior import policy
from benchmarks.reference.denoiser import sample_next_state
from benchmarks.reference.reward_model import continuation, score
from benchmarks.reference.state_decoder import decode
from dima.behavior.imagination import Rollout
from dima.behavior.networks import Actor
from dima.config import BehaviorConfig, SamplerConfig
from dima.replay import Windows
from dima.world_model.world_model import WorldModel


class ImaginationDraws(NamedTuple):
    """The random numbers of all steps; `order` is uniform and decides permutations, where the order is random."""

    policy: Float[Tensor, "time batch agents action"]
    noise: Float[Tensor, "time batch state"]
    order: Float[Tensor, "time batch agents"]
    ends: Float[Tensor, "time batch"]


@torch.no_grad()
def imagine(model: WorldModel, actor: Actor, windows: Windows, config: BehaviorConfig, draws: ImaginationDraws) -> Rollout:
    """Roll the policy out from the last states of `windows`; states in scaled units u = sigma_data z."""
    sigma_data, n = model.sigma_data, windows.state.shape[1]
    z = model.normalizer(windows.state)
    frames = [sigma_data * z[:, i] * windows.valid[:, i, None] for i in range(n)]
    actions = [windows.action[:, i] for i in range(n - 1)]
    observations: list[Tensor] = []
    rewards: list[Tensor] = []
    continuations: list[Tensor] = []
    for t in range(config.horizon):
        real = t == 0 and config.start_observation == "real"
        observations.append(windows.observation if real else decode(model.state_decoder, frames[-1] / sigma_data))
        mean, std = policy(actor, observations[-1])
        actions.append(mean + std * draws.policy[t])

        # scored over the whole prefix, of which only the last step is new
        states_so_far, actions_so_far = torch.stack(frames[n - 1 :], dim=1), torch.stack(actions[n - 1 :], dim=1)
        reward, logits = score(model.reward_model, states_so_far / sigma_data, actions_so_far)
        rewards.append(reward[:, -1])
        continuations.append(continuation(model.reward_model, logits[:, -1], draws.ends[t]))

        order = agent_order(model.sampler.config, draws.order[t])
        history, told = torch.stack(frames[-n:], dim=1), torch.stack(actions[-n:], dim=1)
        frames.append(sample_next_state(model.denoiser, model.sampler.config, history, told, order, draws.noise[t]))
    return Rollout(
        state=torch.stack(frames[n - 1 :], dim=1),
        last_action=torch.stack(actions[n - 2 :], dim=1),
        observation=torch.stack(observations, dim=1),
        action=torch.stack(actions[n - 1 :], dim=1),
        reward=torch.stack(rewards, dim=1),
        continuation=torch.stack(continuations, dim=1),
        alive=torch.stack(alive(model, continuations), dim=1),
    )


def agent_order(config: SamplerConfig, uniform: Float[Tensor, "batch agents"]) -> Tensor:
    """Whose turn each denoising step is, from 0 [batch, denoising]; an agent keeps the turn for K / N steps."""
    batch, agents = uniform.shape
    if isinstance(config.order, tuple):
        return torch.tensor(config.order).expand(batch, -1) - 1
    order = uniform.argsort(dim=1) if config.order == "random" else torch.arange(agents).expand(batch, -1)
    turns = order.repeat_interleave(config.steps_for(agents) // agents, dim=1)
    return turns.flip(1) if config.order == "descending" else turns


def alive(model: WorldModel, continuations: list[Tensor]) -> list[Tensor]:
    """1 for every step up to and including the sampled end; all of them where nothing is sampled."""
    counted = [torch.ones_like(continuations[0])]
    for before in continuations[:-1]:
        counted.append(counted[-1] * (before if model.reward_model.config.termination == "categorical" else 1.0))
    return counted
