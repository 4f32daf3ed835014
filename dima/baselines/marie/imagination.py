"""Rollouts of the current policy inside the token world model (docs/baselines.md#marie-behaviour)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dima.baselines.marie.tokenizer import Tokenizer
from dima.baselines.marie.world_model import TokenWorldModel
from dima.behavior.networks import Actor
from dima.config import MarieBehaviorConfig
from dima.experience.random import RandomStreams


@dataclass(frozen=True)
class TokenRollout:
    """Imagined experience: observations as they are decoded from tokens, one more than steps."""

    observation: Float[Tensor, "batch states agents observation"]
    action: Float[Tensor, "batch time agents action"]
    reward: Float[Tensor, "batch time agents"]
    continuation: Float[Tensor, "batch time agents"]


@torch.no_grad()
def imagine(
    tokenizer: Tokenizer,
    world_model: TokenWorldModel,
    actor: Actor,
    starts: Float[Tensor, "batch agents observation"],
    config: MarieBehaviorConfig,
    streams: RandomStreams,
) -> TokenRollout:
    """Roll the policy out from `starts` for `horizon` observations, and so for one step less.

    All noise is drawn before the rollouts are cut into chunks, so that the size of a chunk changes no draw.

    Args:
        tokenizer: shows the policy what it sees.
        world_model: is unrolled.
        actor: acts for every agent.
        starts: real joint observations, one for each rollout.
        config: horizon and size of a chunk.
        streams: `policy` and `tokens` are drawn from.
    """
    tokens = tokenizer.encode(starts)
    rollouts, agents, count = tokens.shape
    steps, device = config.horizon - 1, starts.device
    action_dim = actor.std_logit.shape[0]
    noise = torch.randn(rollouts, steps, agents, action_dim, generator=streams["policy"], device=device)
    uniform = torch.rand(rollouts, steps, agents, count, generator=streams["tokens"], device=device)
    chunks = [
        _unroll(tokenizer, world_model, actor, *part)
        for part in zip(
            *(values.split(config.rollout_chunk) for values in (tokens, noise, uniform)), strict=True
        )
    ]
    return TokenRollout(*(torch.cat(parts) for parts in zip(*chunks, strict=True)))


def _unroll(
    tokenizer: Tokenizer,
    world_model: TokenWorldModel,
    actor: Actor,
    tokens: Tensor,
    noise: Float[Tensor, "batch time agents action"],
    uniform: Float[Tensor, "batch time agents tokens"],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Observations, actions, rewards and continuations of one chunk."""
    unrolling = world_model.unroll()
    observations, steps = [tokenizer.decode(tokens)], []
    for step in range(noise.shape[1]):
        policy = actor(observations[-1])
        action = policy.mean + policy.stddev * noise[:, step]
        reward, continuation, tokens = unrolling.step(tokens, action, uniform[:, step])
        steps.append((action, reward, continuation))
        observations.append(tokenizer.decode(tokens))
    action, reward, continuation = (torch.stack(part, dim=1) for part in zip(*steps, strict=True))
    return torch.stack(observations, dim=1), action, reward, continuation


@torch.no_grad()
def imagine_along(
    tokenizer: Tokenizer,
    world_model: TokenWorldModel,
    start: Float[Tensor, "agents observation"],
    actions: Float[Tensor, "horizon agents action"],
    generator: torch.Generator,
) -> Float[Tensor, "horizon agents observation"]:
    """Observations decoded from the tokens that follow those of `start`; the model's bins clip the actions."""
    tokens = tokenizer.encode(start[None])
    uniform = torch.rand(len(actions), *tokens.shape, generator=generator, device=start.device)
    unrolling, observations = world_model.unroll(), []
    for action, numbers in zip(actions, uniform, strict=True):
        _, _, tokens = unrolling.step(tokens, action[None], numbers)
        observations.append(tokenizer.decode(tokens)[0])
    return torch.stack(observations)
