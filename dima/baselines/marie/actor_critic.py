"""Multi-agent PPO with a value for each agent (docs/baselines.md#marie-behaviour)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dima.baselines.marie.imagination import TokenRollout
from dima.baselines.marie.networks import AttentionCritic
from dima.behavior.actor_critic import adam, clipped_objective, clipped_step, clipped_value_errors, normalized
from dima.behavior.networks import Actor, ValueNormalizer
from dima.behavior.returns import lambda_returns
from dima.config import MarieBehaviorConfig
from dima.experience.dimensions import Dimensions


class MarieActorCritic:
    """Networks, optimisers and the PPO update.

    Args:
        dimensions: of the environment.
        config: of behaviour learning.
        device: where everything lives.
    """

    def __init__(self, dimensions: Dimensions, config: MarieBehaviorConfig, device: torch.device) -> None:
        self.config = config
        _, agents, observation_dim, action_dim = dimensions
        self.actor = Actor(observation_dim, action_dim, config.actor_hidden).to(device)
        self.critic = AttentionCritic(agents, observation_dim, config).to(device)
        self.value_normalizer = ValueNormalizer().to(device)
        self.actor_optimizer = adam(self.actor, config.learning_rate, config.adam_epsilon)
        self.critic_optimizer = adam(self.critic, config.learning_rate, config.adam_epsilon)

    def update(self, rollout: TokenRollout) -> dict[str, Float[Tensor, ""]]:
        """`ppo_epochs` passes over all steps of all rollouts; returns the last losses and their inputs."""
        acted_on = rollout.observation[:, :-1]
        with torch.no_grad():
            old_values = self.critic(rollout.observation)
            values = self.value_normalizer.denormalize(old_values)
            returns = self._returns(rollout, values)
            advantages = normalized((returns - values[:, :-1]).flatten(0, 1)).view_as(returns)
            old_log_prob = self.actor(acted_on).log_prob(rollout.action)
        losses: dict[str, Tensor] = {}
        for _ in range(self.config.ppo_epochs):
            losses |= self._actor_step(acted_on, rollout.action, old_log_prob, advantages)
            losses |= self._critic_step(acted_on, old_values[:, :-1], returns)
        return losses | {
            "imagined_return": returns.mean(),
            "imagined_reward": rollout.reward.mean(),
            "continuation": rollout.continuation.mean(),
            "value": values[:, :-1].mean(),
        }

    def _returns(
        self, rollout: TokenRollout, values: Float[Tensor, "batch states agents"]
    ) -> Float[Tensor, "batch time agents"]:
        """Every agent's lambda-returns from its own rewards, continuations and values, bootstrapped."""
        reward, continuation, value = (
            part.transpose(1, 2).flatten(0, 1) for part in (rollout.reward, rollout.continuation, values)
        )
        returns = lambda_returns(reward, continuation, value, self.config.discount, self.config.return_lambda)
        return returns.unflatten(0, (len(values), -1)).transpose(1, 2)

    def _actor_step(
        self,
        observations: Float[Tensor, "batch time agents observation"],
        actions: Float[Tensor, "batch time agents action"],
        old_log_prob: Float[Tensor, "batch time agents action"],
        advantages: Float[Tensor, "batch time agents"],
    ) -> dict[str, Tensor]:
        """-E[min(rho A, clip(rho) A)] - eta H."""
        policy = self.actor(observations)
        ratio = (policy.log_prob(actions) - old_log_prob).sum(dim=-1).exp()
        entropy = policy.entropy().sum(dim=-1).mean()
        loss = (
            -clipped_objective(ratio, advantages, self.config.clip).mean()
            - self.config.entropy_coefficient * entropy
        )
        clipped_step(self.actor, self.actor_optimizer, loss, self.config.gradient_clip)
        return {"actor_loss": loss.detach(), "entropy": entropy.detach()}

    def _critic_step(
        self,
        observations: Float[Tensor, "batch time agents observation"],
        old_values: Float[Tensor, "batch time agents"],
        returns: Float[Tensor, "batch time agents"],
    ) -> dict[str, Tensor]:
        """Clipped Huber loss of normalised returns."""
        self.value_normalizer.update(returns)
        target = self.value_normalizer.normalize(returns)
        values = self.critic(observations)
        loss = clipped_value_errors(
            values, old_values, target, self.config.clip, self.config.huber_delta
        ).mean()
        clipped_step(self.critic, self.critic_optimizer, loss, self.config.gradient_clip)
        return {"critic_loss": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers and value statistics."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "actor": self.actor,
            "critic": self.critic,
            "value_normalizer": self.value_normalizer,
            "actor_optimizer": self.actor_optimizer,
            "critic_optimizer": self.critic_optimizer,
        }
