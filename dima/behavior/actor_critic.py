"""Multi-agent PPO on imagined rollouts: one shared actor, one centralised critic (eq. 20 and 21)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Float
from torch import Tensor, nn

from dima.behavior.imagination import Rollout
from dima.behavior.networks import Actor, Critic, ValueNormalizer
from dima.behavior.returns import lambda_returns
from dima.config import BehaviorConfig
from dima.experience.dimensions import Dimensions

ADVANTAGE_EPSILON = 1e-4


class ActorCritic:
    """Networks, optimisers and the PPO update.

    Args:
        dimensions: of the environment.
        config: of behaviour learning.
        device: where everything lives.
    """

    def __init__(self, dimensions: Dimensions, config: BehaviorConfig, device: torch.device) -> None:
        states, agents, observations, actions = dimensions
        self.config = config
        self.actor = Actor(observations, actions, config.actor_hidden).to(device)
        inputs = states + agents * actions if config.critic_input == "state_and_last_action" else states
        self.critic = Critic(inputs, config.critic_hidden).to(device)
        self.value_normalizer = ValueNormalizer().to(device)
        self.actor_optimizer = adam(self.actor, config.actor_learning_rate, config.adam_epsilon)
        self.critic_optimizer = adam(self.critic, config.critic_learning_rate, config.adam_epsilon)

    def update(self, rollout: Rollout) -> dict[str, Float[Tensor, ""]]:
        """`ppo_epochs` passes over all steps of all rollouts; returns the last losses and their inputs."""
        config = self.config
        inputs = self._critic_inputs(rollout)
        with torch.no_grad():
            old_values = self.critic(inputs)
            values = self._in_units_of_return(old_values)
            returns = lambda_returns(
                rollout.reward,
                rollout.continuation,
                values,
                config.discount,
                config.return_lambda,
                config.lambda_return,
            )
            advantages = normalized(returns - values[:, :-1])
            old_log_prob = self.actor(rollout.observation).log_prob(rollout.action)
        losses: dict[str, Tensor] = {}
        for _ in range(config.ppo_epochs):
            losses |= self._actor_step(rollout, old_log_prob, advantages)
            losses |= self._critic_step(inputs[:, :-1], old_values[:, :-1], returns)
        return losses | {
            "imagined_return": returns.mean(),
            "imagined_reward": rollout.reward.mean(),
            "continuation": rollout.continuation.mean(),
            "value": values[:, :-1].mean(),
        }

    def _critic_inputs(self, rollout: Rollout) -> Float[Tensor, "batch states inputs"]:
        if self.config.critic_input == "state":
            return rollout.state
        return torch.cat([rollout.state, rollout.last_action.flatten(2)], dim=-1)

    def _in_units_of_return(self, values: Float[Tensor, "batch time"]) -> Float[Tensor, "batch time"]:
        return (
            self.value_normalizer.denormalize(values)
            if self.config.critic_loss == "normalized_huber"
            else values
        )

    def _actor_step(
        self,
        rollout: Rollout,
        old_log_prob: Float[Tensor, "batch time agents action"],
        advantages: Float[Tensor, "batch time"],
    ) -> dict[str, Tensor]:
        """-E[min(rho A, clip(rho) A)] - eta H (eq. 21); every agent has the team's advantage."""
        policy = self.actor(rollout.observation)
        ratio = (policy.log_prob(rollout.action) - old_log_prob).sum(dim=-1).exp()
        objective = clipped_objective(ratio, advantages[..., None], self.config.clip)
        entropy = policy.entropy().sum(dim=-1).mean()
        loss = -objective.mean() - self.config.entropy_coefficient * entropy
        clipped_step(self.actor, self.actor_optimizer, loss, self.config.gradient_clip)
        return {"actor_loss": loss.detach(), "entropy": entropy.detach()}

    def _critic_step(
        self,
        inputs: Float[Tensor, "batch time inputs"],
        old_values: Float[Tensor, "batch time"],
        returns: Float[Tensor, "batch time"],
    ) -> dict[str, Tensor]:
        """Normalised, clipped Huber loss (release) or the mean squared error (eq. 20)."""
        config = self.config
        if config.critic_loss == "mse":
            errors = (self.critic(inputs) - returns).square()
        else:
            self.value_normalizer.update(returns)
            target = self.value_normalizer.normalize(returns)
            errors = clipped_value_errors(
                self.critic(inputs), old_values, target, config.clip, config.huber_delta
            )
        loss = errors.mean()
        clipped_step(self.critic, self.critic_optimizer, loss, config.gradient_clip)
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


def normalized(advantages: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """(A - mean) / (std + 1e-4) over the whole batch."""
    return (advantages - advantages.mean()) / (advantages.std() + ADVANTAGE_EPSILON)


def clipped_objective(
    ratio: Float[Tensor, "*batch agents"], advantages: Float[Tensor, "*batch #agents"], clip: float
) -> Float[Tensor, "*batch agents"]:
    """min(rho A, clip(rho, 1 - eps, 1 + eps) A), with the team's advantage or each agent's own."""
    return torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def clipped_value_errors(
    values: Float[Tensor, "*batch"],
    old_values: Float[Tensor, "*batch"],
    target: Float[Tensor, "*batch"],
    clip: float,
    huber_delta: float,
) -> Float[Tensor, "*batch"]:
    """The larger of the Huber errors of the value and of the value kept within `clip` of the old one."""
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    errors = (
        F.huber_loss(candidate, target, reduction="none", delta=huber_delta)
        for candidate in (values, clipped)
    )
    return torch.maximum(*errors)


def adam(network: nn.Module, learning_rate: float, epsilon: float) -> torch.optim.Adam:
    """Adam over all weights of `network`."""
    parameters = list(network.parameters())
    return torch.optim.Adam(
        parameters, lr=learning_rate, eps=epsilon, fused=True, capturable=parameters[0].device.type == "cuda"
    )


def clipped_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, gradient_clip: float
) -> None:
    """One step against the gradient of `loss`, whose norm is bounded."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), gradient_clip, foreach=True)
    optimizer.step()
