"""Policy, value, lambda-returns and one PPO update (eq. 19-21)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.reference.optimizer import LoopOptimizer
from dima.behavior.imagination import Rollout
from dima.behavior.networks import Actor, Critic, ValueNormalizer
from dima.config import BehaviorConfig


def trunk(layers: nn.Sequential, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch hidden"]:
    """LN, then Linear, ReLU, LN for every hidden layer."""
    norm, *hidden = layers
    inputs = norm(inputs)
    for linear, after in zip(hidden[0::3], hidden[2::3], strict=True):
        inputs = after(linear(inputs).relu())
    return inputs


def policy(
    actor: Actor, observations: Float[Tensor, "*batch observation"]
) -> tuple[Float[Tensor, "*batch action"], Float[Tensor, " action"]]:
    """Mean of the action and its standard deviation, 0.5 sigmoid(l)."""
    return actor.mean(trunk(actor.trunk, observations)), 0.5 * actor.std_logit.sigmoid()


def log_probability(
    actions: Float[Tensor, "*batch action"],
    mean: Float[Tensor, "*batch action"],
    std: Float[Tensor, " action"],
) -> Float[Tensor, "*batch"]:
    """Sum over the dimensions of -(a - m)^2 / 2 s^2 - ln s - ln(2 pi) / 2."""
    return (-(((actions - mean) / std) ** 2) / 2 - std.log() - math.log(2 * math.pi) / 2).sum(dim=-1)


def value(critic: Critic, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch"]:
    """V(s), in the critic's units."""
    return critic.value(trunk(critic.trunk, inputs)).squeeze(-1)


def lambda_returns(
    rewards: Float[Tensor, "batch time"],
    continuations: Float[Tensor, "batch time"],
    values: Float[Tensor, "batch time+1"],
    config: BehaviorConfig,
) -> Float[Tensor, "batch time"]:
    """V_t = r_t + gamma c_t ((1 - lambda) v_{t+1} + lambda V_{t+1}).

    The release has gamma twice in its first term.
    """
    gamma, mix = config.discount, config.return_lambda
    extra = gamma if config.lambda_return == "release" else 1.0
    returns = torch.zeros_like(rewards)
    later = values[:, -1]
    for t in range(rewards.shape[1] - 1, -1, -1):
        later = rewards[:, t] + gamma * continuations[:, t] * (
            (1 - mix) * extra * values[:, t + 1] + mix * later
        )
        returns[:, t] = later
    return returns


def moments(normalizer: ValueNormalizer) -> tuple[Tensor, Tensor]:
    """Debiased running mean and standard deviation of the returns; variance at least 0.01."""
    mean = normalizer.mean / normalizer.weight.clamp(min=1e-5)
    variance = normalizer.mean_square / normalizer.weight.clamp(min=1e-5) - mean**2
    return mean.float(), variance.clamp(min=normalizer.minimum_variance).sqrt().float()


def update_moments(normalizer: ValueNormalizer, returns: Float[Tensor, "batch time"]) -> None:
    """m <- beta m + (1 - beta) mean."""
    beta, counted = normalizer.decay, returns.double()
    normalizer.mean.copy_(beta * normalizer.mean + (1 - beta) * counted.mean())
    normalizer.mean_square.copy_(beta * normalizer.mean_square + (1 - beta) * (counted**2).mean())
    normalizer.weight.copy_(beta * normalizer.weight + (1 - beta))


def ppo_update(
    networks: tuple[Actor, Critic, ValueNormalizer],
    optimizers: tuple[LoopOptimizer, LoopOptimizer],
    rollout: Rollout,
    config: BehaviorConfig,
) -> Float[Tensor, " losses"]:
    """`ppo_epochs` steps of actor and critic on all steps of all rollouts; the last losses of both."""
    actor, critic, normalizer = networks
    normalized = config.critic_loss == "normalized_huber"
    last_action = rollout.last_action.flatten(2)
    inputs = (
        rollout.state if config.critic_input == "state" else torch.cat([rollout.state, last_action], dim=-1)
    )
    with torch.no_grad():
        old_values = value(critic, inputs)
        mean, std = moments(normalizer)
        values = old_values * std + mean if normalized else old_values
        returns = lambda_returns(rollout.reward, rollout.continuation, values, config)
        advantages = standardize(returns - values[:, :-1])
        old_log_probability = log_probability(rollout.action, *policy(actor, rollout.observation))
    actor_error = critic_error = torch.zeros(())
    for _ in range(config.ppo_epochs):
        actor_error = actor_loss(actor, rollout, old_log_probability, advantages, config)
        optimizers[0].step(actor_error)
        target = returns
        if normalized:
            update_moments(normalizer, returns)
            mean, std = moments(normalizer)
            target = (returns - mean) / std
        errors = value_errors(value(critic, inputs[:, :-1]), old_values[:, :-1], target, config)
        critic_error = errors.mean()
        optimizers[1].step(critic_error)
    return torch.stack([actor_error, critic_error]).detach()


def standardize(advantages: Float[Tensor, "batch time"]) -> Float[Tensor, "batch time"]:
    """(A - mean) / (std + 1e-4)."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-4)


def actor_loss(
    actor: Actor,
    rollout: Rollout,
    old_log_probability: Float[Tensor, "batch time agents"],
    advantages: Float[Tensor, "batch time"],
    config: BehaviorConfig,
) -> Float[Tensor, ""]:
    """-E[min(rho A, clip(rho) A)] - eta H (eq. 21); every agent has the team's advantage."""
    mean, std = policy(actor, rollout.observation)
    ratio = (log_probability(rollout.action, mean, std) - old_log_probability).exp()
    team = advantages[:, :, None]
    objective = torch.minimum(ratio * team, ratio.clamp(1 - config.clip, 1 + config.clip) * team)
    entropy = (0.5 * math.log(2 * math.pi * math.e) + std.log()).sum()
    return -objective.mean() - config.entropy_coefficient * entropy


def value_errors(
    values: Float[Tensor, "batch time"],
    old_values: Float[Tensor, "batch time"],
    target: Float[Tensor, "batch time"],
    config: BehaviorConfig,
) -> Float[Tensor, "batch time"]:
    """(V - target)^2 (eq. 20), or the larger Huber error of V and of V clipped to its old value +- `clip`."""
    if config.critic_loss == "mse":
        return (values - target) ** 2
    clipped = old_values + (values - old_values).clamp(-config.clip, config.clip)
    errors = [
        F.huber_loss(candidate, target, reduction="none", delta=config.huber_delta)
        for candidate in (values, clipped)
    ]
    return torch.maximum(*errors)
