"""Rollouts of the current policy inside the world model (dima.md 5.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dima.behavior.networks import Actor
from dima.config import BehaviorConfig
from dima.random import RandomStreams
from dima.replay import Windows
from dima.world_model.world_model import WorldModel


@dataclass(frozen=True)
class Rollout:
    """Imagined experience; states in scaled units, one more than steps."""

    state: Float[Tensor, "batch states state"]
    last_action: Float[Tensor, "batch states agents action"]
    observation: Float[Tensor, "batch time agents observation"]
    action: Float[Tensor, "batch time agents action"]
    reward: Float[Tensor, "batch time"]
    continuation: Float[Tensor, "batch time"]
    alive: Float[Tensor, "batch time"]


@torch.no_grad()
def imagine(world_model: WorldModel, actor: Actor, windows: Windows, config: BehaviorConfig, streams: RandomStreams) -> Rollout:
    """Roll the policy out for `horizon` steps from the last states of `windows`.

    The loop holds only what the next state needs. Reward and termination are scored afterwards in one call, which is exact because
    nothing in the loop depends on them: a rollout whose sampled end has come (`termination: categorical`) is masked by `alive`, where the
    release would start another in its row.
    """
    history = world_model.scale(windows.state) * windows.valid[..., None]
    actions = windows.action
    observation = windows.observation if config.start_observation == "real" else world_model.observe(history[:, -1])
    states, last_actions, observations, taken = [history[:, -1]], [actions[:, -2]], [], []
    for step in range(config.horizon):
        action = actor.sample(observation, streams["policy"])
        actions = torch.cat([actions[:, :-1], action[:, None]], dim=1)
        state = world_model.step(history, actions, streams["order"], streams["noise"])
        observations.append(observation)
        taken.append(action)
        states.append(state)
        last_actions.append(action)
        if step + 1 < config.horizon:
            observation = world_model.observe(state)
            history = torch.cat([history[:, 1:], state[:, None]], dim=1)
            actions = torch.cat([actions[:, 1:], action[:, None]], dim=1)
    stacked_states, stacked_actions = torch.stack(states, dim=1), torch.stack(taken, dim=1)
    reward, continuation = world_model.score(stacked_states[:, :-1], stacked_actions, streams["noise"])
    return Rollout(
        state=stacked_states,
        last_action=torch.stack(last_actions, dim=1),
        observation=torch.stack(observations, dim=1),
        action=stacked_actions,
        reward=reward,
        continuation=continuation,
        alive=_alive(world_model, continuation),
    )


def _alive(world_model: WorldModel, continuation: Float[Tensor, "batch time"]) -> Float[Tensor, "batch time"]:
    """1 up to and including the step whose sampled end has come; with soft continuations every step counts."""
    if world_model.reward_model.config.termination == "bernoulli":
        return torch.ones_like(continuation)
    before = torch.cat([torch.ones_like(continuation[:, :1]), continuation[:, :-1]], dim=1)
    return before.cumprod(dim=1)
