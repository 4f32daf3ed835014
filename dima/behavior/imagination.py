"""Rollouts of the current policy inside the world model (docs/method.md#imagination)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dima.behavior.networks import Actor
from dima.config import BehaviorConfig
from dima.experience.random import RandomStreams
from dima.experience.replay import Windows
from dima.world_model.world_model import WorldModel


@dataclass(frozen=True)
class Rollout:
    """Imagined experience; states in scaled units, one more than steps.

    What follows a continuation of 0 is another episode.
    """

    state: Float[Tensor, "batch states state"]
    last_action: Float[Tensor, "batch states agents action"]
    observation: Float[Tensor, "batch time agents observation"]
    action: Float[Tensor, "batch time agents action"]
    reward: Float[Tensor, "batch time"]
    continuation: Float[Tensor, "batch time"]


@torch.no_grad()
def imagine(
    world_model: WorldModel,
    actor: Actor,
    starts: Windows,
    config: BehaviorConfig,
    streams: RandomStreams,
    restarts: Windows | None = None,
) -> Rollout:
    """Roll the policy out for `horizon` steps from the last states of `starts`.

    Args:
        world_model: is stepped and scores reward and continuation.
        actor: acts for every agent.
        starts: one window of real steps for each rollout.
        config: of behaviour learning.
        streams: `policy`, `order`, `noise` and `ends` are drawn from.
        restarts: where ends are sampled (`termination: categorical`), `horizon` - 1 windows for each rollout, step by step: where one has
            ended, the next step is the first of another episode. None: nothing ends, and all steps are scored in one call.
    """
    history, actions = _scaled(world_model, starts), starts.action
    begins, real = torch.ones_like(starts.valid[:, 0]), starts.observation
    scoring = None if restarts is None else world_model.start_scoring()
    network = world_model.prepared()
    states, last_actions = [history[:, -1]], [actions[:, -2]]
    observations, taken, scores = [], [], []
    for step in range(config.horizon):
        observation = world_model.observe(history[:, -1])
        if config.start_observation == "real":
            observation = torch.where(begins[:, None, None], real, observation)
        action = actor.sample(observation, streams["policy"])
        actions = torch.cat([actions[:, :-1], action[:, None]], dim=1)
        state = world_model.step(history, actions, streams["order"], streams["noise"], network)
        observations.append(observation)
        taken.append(action)
        if scoring is not None:
            scores.append(world_model.score_step(scoring, history[:, -1], action, begins, streams["ends"]))
        history = torch.cat([history[:, 1:], state[:, None]], dim=1)
        actions = torch.cat([actions[:, 1:], action[:, None]], dim=1)
        begins = torch.zeros_like(begins)
        if restarts is not None and step + 1 < config.horizon:
            _, continuation = scores[-1]
            begins = continuation == 0
            fresh = restarts.rows(step * len(state), (step + 1) * len(state))
            history = torch.where(begins[:, None, None], _scaled(world_model, fresh), history)
            actions = torch.where(begins[:, None, None, None], fresh.action, actions)
            real = fresh.observation
        states.append(history[:, -1])
        last_actions.append(actions[:, -2])
    stacked_states, stacked_actions = torch.stack(states, dim=1), torch.stack(taken, dim=1)
    if scoring is None:
        reward, continuation = world_model.score(stacked_states[:, :-1], stacked_actions, streams["ends"])
    else:
        reward, continuation = (torch.stack(part, dim=1) for part in zip(*scores, strict=True))
    return Rollout(
        state=stacked_states,
        last_action=torch.stack(last_actions, dim=1),
        observation=torch.stack(observations, dim=1),
        action=stacked_actions,
        reward=reward,
        continuation=continuation,
    )


def _scaled(world_model: WorldModel, windows: Windows) -> Float[Tensor, "batch time state"]:
    """Scaled states, 0 before the start of an episode."""
    return world_model.scale(windows.state) * windows.valid[..., None]
