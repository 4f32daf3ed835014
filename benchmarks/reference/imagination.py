"""Imagined rollouts: every step samples the next state and scores reward and termination of the prefix."""

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
from dima.experience.transitions import Windows
from dima.world_model.world_model import WorldModel


class ImaginationDraws(NamedTuple):
    """The random numbers of all steps.

    `order` is uniform and decides permutations, where the order is random.
    """

    policy: Float[Tensor, "time batch agents action"]
    noise: Float[Tensor, "time batch state"]
    order: Float[Tensor, "time batch agents"]
    ends: Float[Tensor, "time batch"]


@torch.no_grad()
def imagine(
    model: WorldModel,
    actor: Actor,
    windows: Windows,
    config: BehaviorConfig,
    draws: ImaginationDraws,
    restarts: Windows | None = None,
) -> Rollout:
    """Roll the policy out from the last states of `windows`; states in scaled units u = sigma_data z.

    A row whose end is sampled goes on, as another episode, with its window of `restarts` (those of the first
    step come first).
    """
    sigma_data, (batch, n) = model.sigma_data, windows.state.shape[:2]
    z = model.normalizer(windows.state)
    frames = [sigma_data * z[:, i] * windows.valid[:, i, None] for i in range(n)]
    past_actions = [windows.action[:, i] for i in range(n - 1)]
    states, last_actions, taken = [frames[-1]], [past_actions[-1]], []
    observations: list[Tensor] = []
    rewards: list[Tensor] = []
    continuations: list[Tensor] = []
    numbers = [torch.zeros(batch)]
    real, begins = windows.observation, [True] * batch
    for t in range(config.horizon):
        observation = decode(model.state_decoder, frames[-1] / sigma_data)
        if config.start_observation == "real":
            observation = torch.stack(
                [real[row] if begins[row] else observation[row] for row in range(batch)]
            )
        observations.append(observation)
        mean, std = policy(actor, observation)
        taken.append(mean + std * draws.policy[t])
        past_actions.append(taken[-1])

        # scored over the whole prefix, of which only the last step is new
        states_so_far, actions_so_far, episode = (
            torch.stack(states, dim=1),
            torch.stack(taken, dim=1),
            torch.stack(numbers, dim=1),
        )
        reward, logits = score(model.reward_model, states_so_far / sigma_data, actions_so_far, episode)
        rewards.append(reward[:, -1])
        continuations.append(continuation(model.reward_model, logits[:, -1], draws.ends[t]))

        order = agent_order(model.sampler.config, draws.order[t])
        history, actions = torch.stack(frames[-n:], dim=1), torch.stack(past_actions[-n:], dim=1)
        frames.append(
            sample_next_state(model.denoiser, model.sampler.config, history, actions, order, draws.noise[t])
        )
        frames, past_actions = frames[-n:], past_actions[1 - n :]
        begins = [False] * batch
        if restarts is not None and t + 1 < config.horizon:
            begins = [goes_on == 0 for goes_on in continuations[-1].tolist()]
            fresh = restarts.rows(t * batch, (t + 1) * batch)
            restart(model, [row for row in range(batch) if begins[row]], fresh, frames, past_actions)
            real = fresh.observation
        numbers.append(numbers[-1] + torch.tensor(begins))
        states.append(frames[-1])
        last_actions.append(past_actions[-1])
    return Rollout(
        state=torch.stack(states, dim=1),
        last_action=torch.stack(last_actions, dim=1),
        observation=torch.stack(observations, dim=1),
        action=torch.stack(taken, dim=1),
        reward=torch.stack(rewards, dim=1),
        continuation=torch.stack(continuations, dim=1),
    )


def restart(
    model: WorldModel, rows: list[int], fresh: Windows, frames: list[Tensor], past_actions: list[Tensor]
) -> None:
    """Replace `rows` of `frames` (last n states) and `past_actions` (last n - 1) by those of `fresh`."""
    for row in rows:
        states = model.sigma_data * model.normalizer(fresh.state[row]) * fresh.valid[row, :, None]
        for i in range(len(frames)):
            frames[i] = replaced(frames[i], row, states[i])
        for i in range(len(past_actions)):
            past_actions[i] = replaced(past_actions[i], row, fresh.action[row, i])


def replaced(values: Tensor, row: int, value: Tensor) -> Tensor:
    """A copy with another value in one row."""
    return torch.cat([values[:row], value[None], values[row + 1 :]])


def agent_order(config: SamplerConfig, uniform: Float[Tensor, "batch agents"]) -> Tensor:
    """Whose turn each denoising step is, from 0 [batch, denoising].

    An agent keeps the turn for K / N steps.
    """
    batch, agents = uniform.shape
    if isinstance(config.order, tuple):
        return torch.tensor(config.order).expand(batch, -1) - 1
    order = uniform.argsort(dim=1) if config.order == "random" else torch.arange(agents).expand(batch, -1)
    turns = order.repeat_interleave(config.steps_for(agents) // agents, dim=1)
    return turns.flip(1) if config.order == "descending" else turns
