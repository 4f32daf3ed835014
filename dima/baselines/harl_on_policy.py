"""MAPPO and HAPPO by the real HARL.

Its classes do the learning in this process, on this project's environments and event log.

HARL saves weights alone; here a checkpoint also holds the optimisers, the value normaliser, the row of the
rollout that the next update starts from, the simulation and the random streams, so that a killed run
continues bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from dima.baselines.harl_learner import HarlLearner, load_harl, load_moments, moments_of, returns_of
from dima.baselines.harl_settings import on_policy_settings
from dima.config import CellConfig, HarlOnPolicyParameters
from dima.experience.collect import saved_simulation
from dima.learning.learner import Scalars

# HARL copies these from the last row of its rollout to row 0 after an update; every other row is overwritten
# before it is read.
ACTOR_CARRY = ("obs", "rnn_states", "masks", "active_masks")
CRITIC_CARRY = ("share_obs", "rnn_states_critic", "masks", "bad_masks")
# On a GPU HARL's normaliser keeps its statistics as plain tensors, which its own state_dict() misses.
NORMALIZER_STATISTICS = ("running_mean", "running_mean_sq", "debiasing_term")


class HarlOnPolicyLearner(HarlLearner):
    """HARL's MAPPO or HAPPO. One epoch is one HARL update.

    `episode_length` steps of every world, then learning.

    Args:
        config: a cell whose parameters are `HarlOnPolicyParameters`.
        device: where the networks are.

    Raises:
        UserError: HARL is not installed.
    """

    def __init__(self, config: CellConfig, device: torch.device) -> None:
        parameters = config.parameters
        if not isinstance(parameters, HarlOnPolicyParameters):
            raise TypeError(f"HARL's on-policy methods cannot read {type(parameters).__name__}")
        harl = load_harl(config.method)
        super().__init__(config, parameters.rollout_threads, device)
        self._parameters = parameters
        self._steps_per_epoch = parameters.rollout_threads * parameters.episode_length
        self._epochs = math.ceil(config.task.env_steps / self._steps_per_epoch)
        runner = {"mappo": harl.InProcessMappo, "happo": harl.InProcessHappo}[parameters.algorithm]
        with self._streams:
            self._runner = runner(on_policy_settings(parameters), self.worlds, device)
            self._runner.warmup()

    @torch.no_grad()
    def act(
        self, observations: Float[np.ndarray, "batch agents observation"]
    ) -> Float[np.ndarray, "batch agents action"]:
        """The mean of each agent's Gaussian, unclipped.

        One transfer takes the observations to the device, one brings all actions.
        """
        runner, seen = self._runner, torch.from_numpy(observations).to(self._device)
        rnn_states = torch.zeros(len(seen), runner.recurrent_n, runner.rnn_hidden_size, device=self._device)
        masks = torch.ones(len(seen), 1, device=self._device)
        actions = [
            actor.act(seen[:, agent], rnn_states, masks, deterministic=True)[0]
            for agent, actor in enumerate(runner.actor)
        ]
        return torch.stack(actions, dim=1).cpu().numpy()

    def state_dict(self) -> dict[str, Any]:
        """Everything the next update reads, copied; the learning rate follows from `epoch`."""
        runner = self._runner
        state = {
            "epoch": self.epoch,
            "env_steps": self.env_steps,
            "random_streams": self._streams.state_dict(),
            "environment": saved_simulation(self.worlds.environment),
            "actors": [dict(actor.actor.state_dict()) for actor in runner.actors],
            "actor_optimizers": [moments_of(actor.actor_optimizer) for actor in runner.actors],
            "critic": dict(runner.critic.critic.state_dict()),
            "critic_optimizer": moments_of(runner.critic.critic_optimizer),
            "value_normalizer": {
                name: statistic.detach() for name, statistic in self._normalizer_statistics().items()
            },
            "actor_rollouts": [
                {name: getattr(buffer, name)[0] for name in ACTOR_CARRY} for buffer in runner.actor_buffer
            ],
            "critic_rollout": {name: getattr(runner.critic_buffer, name)[0] for name in CRITIC_CARRY},
        }
        return deepcopy(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()` of a learner with the same configuration."""
        state = deepcopy(state)
        runner = self._runner
        self.epoch = state["epoch"]
        self.env_steps = state["env_steps"]
        self._streams.load_state_dict(state["random_streams"])
        for actor, weights, moments in zip(
            runner.actors, state["actors"], state["actor_optimizers"], strict=True
        ):
            actor.actor.load_state_dict(weights)
            load_moments(actor.actor_optimizer, moments)
        runner.critic.critic.load_state_dict(state["critic"])
        load_moments(runner.critic.critic_optimizer, state["critic_optimizer"])
        for name, statistic in self._normalizer_statistics().items():
            statistic.data.copy_(state["value_normalizer"][name])
        if state["environment"] is None:  # the simulator could not be saved: new episodes
            with self._streams:
                runner.warmup()
            return
        self.worlds.environment.set_sim_state(state["environment"])
        for buffer, rows in zip(runner.actor_buffer, state["actor_rollouts"], strict=True):
            _set_first_rows(buffer, rows)
        _set_first_rows(runner.critic_buffer, state["critic_rollout"])

    def load_policy(self, state: dict[str, Any]) -> None:
        """The actors alone."""
        for actor, weights in zip(self._runner.actors, state["actors"], strict=True):
            actor.actor.load_state_dict(weights)

    def _update(self) -> tuple[int, Scalars]:
        """HARL's training loop, once round."""
        runner = self._runner
        if self._parameters.linear_learning_rate_decay:
            self._decay_learning_rates()
        runner.prep_rollout()
        returns = [value for step in range(self._parameters.episode_length) for value in self._step(step)]
        runner.compute()
        runner.prep_training()
        actor_infos, critic_info = runner.train()
        scalars = _scalars(actor_infos, critic_info)
        scalars["rollout"] = {
            "reward": float(runner.critic_buffer.get_mean_rewards()),
            "episodes": float(len(returns)),
        }
        if returns:
            scalars["rollout"]["episode_return"] = float(np.mean(returns))
        runner.after_update()
        return self._steps_per_epoch, scalars

    def _step(self, step: int) -> list[float]:
        """Act in every world and store the transition; the returns of the episodes that ended."""
        values, actions, *rest = self._runner.collect(step)
        outcome = self.worlds.step(actions)
        self._runner.insert((*outcome, values, actions, *rest))
        return returns_of(outcome.infos)

    def _decay_learning_rates(self) -> None:
        """Linear decay over the task's environment steps.

        In epoch k of K the rate is (1 - (k - 1) / K) of the first.

        HARL rounds K down and never reaches the budget's last, partial update; here K is rounded up, as that
        update is made.
        """
        epoch = min(self.epoch + 1, self._epochs)
        for actor in self._runner.actors:
            actor.lr_decay(epoch, self._epochs)
        self._runner.critic.lr_decay(epoch, self._epochs)

    def _normalizer_statistics(self) -> dict[str, torch.Tensor]:
        normalizer = self._runner.value_normalizer
        return (
            {} if normalizer is None else {name: getattr(normalizer, name) for name in NORMALIZER_STATISTICS}
        )

    def _networks(self) -> Iterable[nn.Module]:
        return [*(actor.actor for actor in self._runner.actors), self._runner.critic.critic]


def _scalars(actor_infos: list[dict[str, Any]], critic_info: dict[str, Any]) -> Scalars:
    """HARL's numbers, each already a mean over the update's minibatches.

    The actors' are averaged over agents.
    """

    def over_agents(name: str) -> float:
        return sum(torch.as_tensor(info[name]).item() for info in actor_infos) / len(actor_infos)

    return {
        "actor": {
            "loss": over_agents("policy_loss"),
            "entropy": over_agents("dist_entropy"),
            "gradient_norm": over_agents("actor_grad_norm"),
            "probability_ratio": over_agents("ratio"),
        },
        "critic": {
            "loss": critic_info["value_loss"],
            "gradient_norm": critic_info["critic_grad_norm"].item(),
        },
    }


def _set_first_rows(buffer: object, rows: dict[str, np.ndarray]) -> None:
    for name, row in rows.items():
        getattr(buffer, name)[0] = row
