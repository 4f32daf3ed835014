"""MAMBA's PPO on latent rollouts: one actor, a critic with attention (docs/baselines.md#mamba-behaviour)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dima.baselines.mamba.imagination import LatentRollout
from dima.baselines.mamba.networks import AgentCritic
from dima.behavior.actor_critic import clipped_objective, normalized
from dima.behavior.networks import Actor
from dima.behavior.returns import lambda_returns
from dima.config import MambaParameters
from dima.experience.dimensions import Dimensions
from dima.world_model.optimizer import ModelOptimizer


class MambaActorCritic:
    """Networks, optimisers, the falling entropy coefficient, and the PPO update.

    Args:
        dimensions: of the environment.
        parameters: of the method.
        device: where everything lives.
    """

    def __init__(self, dimensions: Dimensions, parameters: MambaParameters, device: torch.device) -> None:
        self.config = config = parameters.behavior
        feature = parameters.model.feature
        self.actor = Actor(feature, dimensions.action, config.actor_hidden, layer_norm=False).to(device)
        self.critic = (
            AgentCritic(
                dimensions.agents, feature, config.critic_hidden, config.critic_attention, parameters.compute
            )
            .to(device)
            .eval()
        )
        self.entropy_coefficient = config.entropy_coefficient
        self._actor_optimizer = ModelOptimizer(self.actor, config.actor_optimizer)
        self._critic_optimizer = ModelOptimizer(self.critic, config.critic_optimizer)

    def update(self, rollout: LatentRollout, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """`ppo_epochs` passes over all latent states in minibatches; returns mean losses and their inputs.

        Every agent has its own return: the team's reward, with the continuation and the values of its own
        latent states. The critic before the passes makes the targets (adaptation 6).
        """
        config = self.config
        with torch.no_grad():
            values = self.critic(rollout.feature)
            returns = self._returns(rollout, values)
            policy = self.actor(rollout.feature[:, :-1])
            batch = {
                "feature": rollout.feature[:, :-1],
                "action": rollout.action,
                "log_prob": policy.log_prob(rollout.action),
                "advantage": normalized(returns - values[:, :-1]),
                "returns": returns,
            }
        batch = {name: rows.flatten(0, 1) for name, rows in batch.items()}
        reports: list[dict[str, Tensor]] = []
        for _ in range(config.ppo_epochs):
            shuffled = torch.randperm(len(batch["returns"]), generator=generator, device=returns.device)
            for chosen in shuffled.split(config.minibatch_size):
                reports.append(self._minibatch(batch, chosen))
        means = {name: torch.stack([report[name] for report in reports]).mean() for name in reports[0]}
        return means | {
            "imagined_return": returns.mean(),
            "imagined_reward": rollout.reward.mean(),
            "continuation": rollout.continuation.mean(),
            "value": values[:, :-1].mean(),
        }

    def _returns(
        self, rollout: LatentRollout, values: Float[Tensor, "batch states agents"]
    ) -> Float[Tensor, "batch time agents"]:
        """Lambda-returns of every agent, bootstrapped with the value of its last latent state."""
        batch, steps, agents = rollout.continuation.shape
        reward = rollout.reward[:, None].expand(batch, agents, steps).flatten(0, 1)
        continuation, by_agent = (
            rows.transpose(1, 2).flatten(0, 1) for rows in (rollout.continuation, values)
        )
        returns = lambda_returns(
            reward, continuation, by_agent, self.config.discount, self.config.return_lambda
        )
        return returns.unflatten(0, (batch, agents)).transpose(1, 2)

    def _minibatch(self, batch: dict[str, Tensor], chosen: Int[Tensor, " rows"]) -> dict[str, Tensor]:
        """One step of the actor and one of the critic on the chosen rows."""
        rows = {name: values[chosen] for name, values in batch.items()}
        actor_loss, entropy = self._actor_loss(rows)
        self._actor_optimizer.step(actor_loss)
        self.entropy_coefficient *= self.config.entropy_decay
        self.critic.train()
        critic_loss = (self.critic(rows["feature"]) - rows["returns"]).square().mean() / 2
        self._critic_optimizer.step(critic_loss)
        self.critic.eval()
        return {
            "actor_loss": actor_loss.detach(),
            "entropy": entropy.detach(),
            "critic_loss": critic_loss.detach(),
        }

    def _actor_loss(self, rows: dict[str, Tensor]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """-E[min(rho A, clip(rho) A)] - eta H, rho the product over an agent's action dimensions; and H."""
        policy = self.actor(rows["feature"])
        ratio = (policy.log_prob(rows["action"]) - rows["log_prob"]).sum(dim=-1).exp()
        objective = clipped_objective(ratio[..., None], rows["advantage"][..., None], self.config.clip)
        entropy = policy.entropy().sum(dim=-1).mean()
        return -objective.mean() - self.entropy_coefficient * entropy, entropy

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers and the entropy coefficient."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {
            "entropy_coefficient": self.entropy_coefficient
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.entropy_coefficient = float(state["entropy_coefficient"])

    def _parts(self) -> dict[str, nn.Module | ModelOptimizer]:
        return {
            "actor": self.actor,
            "critic": self.critic,
            "actor_optimizer": self._actor_optimizer,
            "critic_optimizer": self._critic_optimizer,
        }
