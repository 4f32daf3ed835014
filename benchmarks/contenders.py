"""The two sides: `dima` as it trains, and the reference. A call is one update or one batch of rollouts."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor, nn

from benchmarks.draws import denoising_draws, imagination_draws
from benchmarks.reference import behavior, denoiser, imagination, reward_model, state_decoder
from benchmarks.reference.optimizer import behavior_optimizer, model_optimizer
from benchmarks.workload import Data, Sizes, models
from dima.behavior.actor_critic import ActorCritic
from dima.behavior.imagination import Rollout, imagine
from dima.experience.random import RandomStreams
from dima.world_model.optimizer import ModelOptimizer

Results = dict[str, Tensor]
GRADIENT = "gradient of "


class Dima:
    """`dima`.

    Every part's method makes one call and returns what both sides must agree on: losses and gradients,
    rollouts, or the policy's new weights. Every call has the same noise.
    """

    def __init__(self, sizes: Sizes, data: Data) -> None:
        self._data, self._config = data, (p := sizes.parameters).behavior
        self.world_model, self.actor_critic = models(p, sizes.shapes)
        self._optimizers = {
            "state_decoder": ModelOptimizer(self.world_model.state_decoder, p.state_decoder.optimizer),
            "denoiser": ModelOptimizer(
                self.world_model.denoiser, p.denoiser.optimizer, p.denoiser.learning_rate_warmup_updates
            ),
            "reward_model": ModelOptimizer(self.world_model.reward_model, p.reward_model.optimizer),
        }

    def state_decoder(self) -> Results:
        decoder = self.world_model.state_decoder.train()
        loss = decoder.loss(self.world_model.normalizer(self._data.states), self._data.observations)
        self._optimizers["state_decoder"].step(loss)
        decoder.eval()
        return {"loss": loss.detach()} | _gradients(decoder)

    def denoiser(self) -> Results:
        model, windows, normalizer = (
            self.world_model.denoiser,
            self._data.windows,
            self.world_model.normalizer,
        )
        loss = model.loss(windows, (normalizer(windows.state), normalizer(windows.next_state)), _generator())
        self._optimizers["denoiser"].step(loss)
        return {"loss": loss.detach()} | _gradients(model)

    def reward_model(self) -> Results:
        torch.manual_seed(2)  # of dropout
        model, segments = self.world_model.reward_model.train(), self._data.segments
        losses = model.loss(self.world_model.normalizer(segments.state), segments)
        self._optimizers["reward_model"].step(losses["reward"] + losses["termination"])
        model.eval()
        return {name: loss.detach() for name, loss in losses.items()} | _gradients(model)

    def imagination(self) -> Results:
        starts, restarts = self._data.starts, self._data.restarts
        return _fields(
            imagine(self.world_model, self.actor_critic.actor, starts, self._config, _streams(), restarts)
        )

    def behavior(self) -> Results:
        losses = self.actor_critic.update(self._data.rollout)
        return {name: losses[name] for name in ("actor_loss", "critic_loss")} | _weights(self.actor_critic)


class Plain:
    """The reference, whose weights start like `Dima`'s."""

    def __init__(self, sizes: Sizes, data: Data) -> None:
        self._data, self._shapes, self._config = data, sizes.shapes, (p := sizes.parameters).behavior
        self.world_model, self.actor_critic = models(p, sizes.shapes)
        self._optimizers = {
            "state_decoder": model_optimizer(self.world_model.state_decoder, p.state_decoder.optimizer),
            "denoiser": model_optimizer(
                self.world_model.denoiser, p.denoiser.optimizer, p.denoiser.learning_rate_warmup_updates
            ),
            "reward_model": model_optimizer(self.world_model.reward_model, p.reward_model.optimizer),
        }
        self._behavior_optimizers = (
            behavior_optimizer(self.actor_critic.actor, p.behavior.actor_learning_rate, p.behavior),
            behavior_optimizer(self.actor_critic.critic, p.behavior.critic_learning_rate, p.behavior),
        )

    def state_decoder(self) -> Results:
        model = self.world_model.state_decoder
        loss = state_decoder.state_decoder_loss(
            model, self.world_model.normalizer(self._data.states), self._data.observations
        )
        self._optimizers["state_decoder"].step(loss)
        return {"loss": loss.detach()} | _gradients(model)

    def denoiser(self) -> Results:
        model, windows, normalizer = (
            self.world_model.denoiser,
            self._data.windows,
            self.world_model.normalizer,
        )
        draws = denoising_draws(model, len(windows.state), self._shapes[0], _generator())
        loss = denoiser.denoiser_loss(
            model, windows, normalizer(windows.state), normalizer(windows.next_state), draws
        )
        self._optimizers["denoiser"].step(loss)
        return {"loss": loss.detach()} | _gradients(model)

    def reward_model(self) -> Results:
        torch.manual_seed(2)  # of dropout
        model, segments = self.world_model.reward_model, self._data.segments
        reward, termination = reward_model.reward_model_loss(
            model, self.world_model.normalizer(segments.state), segments
        )
        self._optimizers["reward_model"].step(reward + termination)
        return {"reward": reward.detach(), "termination": termination.detach()} | _gradients(model)

    def imagination(self) -> Results:
        starts, horizon = self._data.starts, self._config.horizon
        draws = imagination_draws(self._shapes, len(starts.state), horizon, _streams())
        return _fields(
            imagination.imagine(
                self.world_model, self.actor_critic.actor, starts, self._config, draws, self._data.restarts
            )
        )

    def behavior(self) -> Results:
        networks = (self.actor_critic.actor, self.actor_critic.critic, self.actor_critic.value_normalizer)
        actor_loss, critic_loss = behavior.ppo_update(
            networks, self._behavior_optimizers, self._data.rollout, self._config
        )
        return {"actor_loss": actor_loss, "critic_loss": critic_loss} | _weights(self.actor_critic)


Contender = Dima | Plain


def relative_error(ours: Results, reference: Results) -> float:
    """|a - b| / |b| of all values as one vector; 0 of none."""
    if not reference:
        return 0.0
    difference = sum((ours[name] - reference[name]).double().square().sum().item() for name in reference)
    return (difference / sum(value.double().square().sum().item() for value in reference.values())) ** 0.5


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def _streams() -> RandomStreams:
    return RandomStreams(2, ("policy", "order", "noise", "ends"), torch.device("cpu"))


def _gradients(module: nn.Module) -> Results:
    return {
        GRADIENT + name: parameter.grad
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }


def _fields(rollout: Rollout) -> Results:
    return {field.name: getattr(rollout, field.name) for field in fields(rollout)}


def _weights(actor_critic: ActorCritic) -> Results:
    networks = {"actor": actor_critic.actor, "critic": actor_critic.critic}
    return {
        f"{name}.{key}": parameter.detach()
        for name, network in networks.items()
        for key, parameter in network.named_parameters()
    }
