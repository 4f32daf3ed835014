"""MAPPO by the real HARL: its classes do the learning in this process, on this project's environments and event log.

HARL saves weights alone; here a checkpoint also holds the optimisers, the value normaliser, the row of the rollout that the next
update starts from, the simulation and the random streams, so that a killed run continues bit for bit.
"""

from __future__ import annotations

import math
from copy import deepcopy
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

import envs
from dima.baselines.global_streams import GlobalStreams
from dima.baselines.harl_environment import HarlWorlds
from dima.baselines.harl_settings import harl_settings
from dima.collect import saved_simulation
from dima.config import CellConfig, HarlOnPolicyParameters
from dima.errors import DivergedError, UserError
from dima.evaluate import Policy
from dima.learner import Scalars

if TYPE_CHECKING:
    from dima.baselines.harl_in_process import InProcessMappo

# HARL copies these from the last row of its rollout to row 0 after an update; every other row is overwritten before it is read.
ACTOR_CARRY = ("obs", "rnn_states", "masks", "active_masks")
CRITIC_CARRY = ("share_obs", "rnn_states_critic", "masks", "bad_masks")
# On a GPU HARL's normaliser keeps its statistics as plain tensors, which its own state_dict() misses.
NORMALIZER_STATISTICS = ("running_mean", "running_mean_sq", "debiasing_term")


class HarlOnPolicyLearner:
    """HARL's MAPPO as a `dima.learner.Learner`. One epoch is one HARL update: `episode_length` steps of every world, then learning.

    The cell's seed seeds Python, numpy and torch as in HARL, and the training worlds: world j has seed * 1000 + j.

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
        mappo = _load_mappo(config.method)
        self.env_steps = 0
        self.epoch = 0
        self._parameters = parameters
        self._steps_per_epoch = parameters.rollout_threads * parameters.episode_length
        self._epochs = math.ceil(config.task.env_steps / self._steps_per_epoch)
        task = config.task
        self._worlds = HarlWorlds(envs.make(task.name, parameters.rollout_threads, config.seed, task.preset, task.simulator))
        self.lineage = self._worlds.environment.spec.lineage
        self._streams = GlobalStreams(config.seed, device)
        with self._streams:
            self._mappo = mappo(harl_settings(parameters), self._worlds, device)
            self._mappo.warmup()

    def run_epoch(self) -> Scalars:
        """One HARL update. Logs the mean reward, the returns of episodes that ended, and HARL's own numbers.

        Raises:
            DivergedError: a loss, a gradient, a network output or the simulation is not finite.
        """
        with self._streams:
            try:
                scalars = self._update()
            except envs.NonFiniteError as error:
                raise DivergedError(f"MAPPO diverged in epoch {self.epoch + 1}: {error}.") from error
            except ValueError as error:
                if self._networks_are_finite():
                    raise
                # torch refuses a Gaussian whose mean is not a number
                raise DivergedError(f"MAPPO diverged in epoch {self.epoch + 1}: a network weight is not finite.") from error
        for group, values in scalars.items():
            for name, value in values.items():
                if not math.isfinite(value):
                    raise DivergedError(f"MAPPO diverged in epoch {self.epoch + 1}: {group} {name} is {value}.")
        self.epoch += 1
        self.env_steps += self._steps_per_epoch
        return scalars

    @torch.no_grad()
    def act(self, observations: Float[np.ndarray, "batch agents observation"]) -> Float[np.ndarray, "batch agents action"]:
        """The mean of each agent's Gaussian, unclipped."""
        batch = len(observations)
        rnn_states = np.zeros((batch, self._mappo.recurrent_n, self._mappo.rnn_hidden_size), dtype=np.float32)
        masks = np.ones((batch, 1), dtype=np.float32)
        actions = [
            actor.act(observations[:, agent], rnn_states, masks, deterministic=True)[0].cpu().numpy()
            for agent, actor in enumerate(self._mappo.actor)
        ]
        return np.stack(actions, axis=1)

    def frozen_policy(self) -> Policy:
        """`act` itself: it is evaluated in turn with training."""
        return self.act

    def state_dict(self) -> dict[str, Any]:
        """Everything the next update reads, copied; the learning rate follows from `epoch`."""
        mappo = self._mappo
        state = {
            "epoch": self.epoch,
            "env_steps": self.env_steps,
            "random_streams": self._streams.state_dict(),
            "environment": saved_simulation(self._worlds.environment),
            "actors": [dict(actor.actor.state_dict()) for actor in mappo.actors],
            "actor_optimizers": [_moments(actor.actor_optimizer) for actor in mappo.actors],
            "critic": dict(mappo.critic.critic.state_dict()),
            "critic_optimizer": _moments(mappo.critic.critic_optimizer),
            "value_normalizer": {name: statistic.detach() for name, statistic in self._normalizer_statistics().items()},
            "actor_rollouts": [{name: getattr(buffer, name)[0] for name in ACTOR_CARRY} for buffer in mappo.actor_buffer],
            "critic_rollout": {name: getattr(mappo.critic_buffer, name)[0] for name in CRITIC_CARRY},
        }
        return deepcopy(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()` of a learner with the same configuration."""
        state = deepcopy(state)
        mappo = self._mappo
        self.epoch = state["epoch"]
        self.env_steps = state["env_steps"]
        self._streams.load_state_dict(state["random_streams"])
        for actor, weights, moments in zip(mappo.actors, state["actors"], state["actor_optimizers"], strict=True):
            actor.actor.load_state_dict(weights)
            _load_moments(actor.actor_optimizer, moments)
        mappo.critic.critic.load_state_dict(state["critic"])
        _load_moments(mappo.critic.critic_optimizer, state["critic_optimizer"])
        for name, statistic in self._normalizer_statistics().items():
            statistic.data.copy_(state["value_normalizer"][name])
        if state["environment"] is None:  # the simulator could not be saved: new episodes
            with self._streams:
                mappo.warmup()
            return
        self._worlds.environment.set_sim_state(state["environment"])
        for buffer, rows in zip(mappo.actor_buffer, state["actor_rollouts"], strict=True):
            _set_first_rows(buffer, rows)
        _set_first_rows(mappo.critic_buffer, state["critic_rollout"])

    def load_policy(self, state: dict[str, Any]) -> None:
        """The actors alone."""
        for actor, weights in zip(self._mappo.actors, state["actors"], strict=True):
            actor.actor.load_state_dict(weights)

    def close(self) -> None:
        """Release the environment."""
        self._worlds.environment.close()

    def _update(self) -> Scalars:
        """HARL's training loop, once round."""
        mappo = self._mappo
        if self._parameters.linear_learning_rate_decay:
            self._decay_learning_rates()
        mappo.prep_rollout()
        returns = [value for step in range(self._parameters.episode_length) for value in self._step(step)]
        mappo.compute()
        mappo.prep_training()
        actor_infos, critic_info = mappo.train()
        scalars = _scalars(actor_infos, critic_info)
        scalars["rollout"] = {"reward": float(mappo.critic_buffer.get_mean_rewards()), "episodes": float(len(returns))}
        if returns:
            scalars["rollout"]["episode_return"] = float(np.mean(returns))
        mappo.after_update()
        return scalars

    def _step(self, step: int) -> list[float]:
        """Act in every world and store the transition; the returns of the episodes that ended."""
        values, actions, *rest = self._mappo.collect(step)
        outcome = self._worlds.step(actions)
        self._mappo.insert((*outcome, values, actions, *rest))
        return [info[0]["episode_return"] for info in outcome.infos if "episode_return" in info[0]]

    def _decay_learning_rates(self) -> None:
        """Linear decay over the task's environment steps: in epoch k of K the rate is (1 - (k - 1) / K) of the first.

        HARL rounds K down and never reaches the budget's last, partial update; here K is rounded up, as that update is made.
        """
        epoch = min(self.epoch + 1, self._epochs)
        for actor in self._mappo.actors:
            actor.lr_decay(epoch, self._epochs)
        self._mappo.critic.lr_decay(epoch, self._epochs)

    def _normalizer_statistics(self) -> dict[str, torch.Tensor]:
        normalizer = self._mappo.value_normalizer
        return {} if normalizer is None else {name: getattr(normalizer, name) for name in NORMALIZER_STATISTICS}

    def _networks_are_finite(self) -> bool:
        networks = [*(actor.actor for actor in self._mappo.actors), self._mappo.critic.critic]
        return all(bool(torch.isfinite(weight).all()) for network in networks for weight in network.parameters())


def _load_mappo(method: str) -> type[InProcessMappo]:
    try:
        import_module("harl")
    except ModuleNotFoundError as error:
        raise UserError(f"Method {method} runs the real HARL, which is not installed: pip install -e '.[harl]'.") from error
    from dima.baselines.harl_in_process import InProcessMappo

    return InProcessMappo


def _scalars(actor_infos: list[dict[str, Any]], critic_info: dict[str, Any]) -> Scalars:
    """HARL's numbers, each already a mean over the update's minibatches; the actors' are averaged over agents."""

    def over_agents(name: str) -> float:
        return sum(torch.as_tensor(info[name]).item() for info in actor_infos) / len(actor_infos)

    return {
        "actor": {
            "loss": over_agents("policy_loss"),
            "entropy": over_agents("dist_entropy"),
            "gradient_norm": over_agents("actor_grad_norm"),
            "probability_ratio": over_agents("ratio"),
        },
        "critic": {"loss": critic_info["value_loss"], "gradient_norm": critic_info["critic_grad_norm"].item()},
    }


def _moments(optimizer: torch.optim.Adam) -> dict[str, dict[str, torch.Tensor]]:
    """Adam's running moments and step counts, by the number of the parameter."""
    return {str(number): moments for number, moments in optimizer.state_dict()["state"].items()}


def _load_moments(optimizer: torch.optim.Adam, moments: dict[str, dict[str, torch.Tensor]]) -> None:
    own = optimizer.state_dict()
    optimizer.load_state_dict({"state": {int(number): values for number, values in moments.items()}, "param_groups": own["param_groups"]})


def _set_first_rows(buffer: object, rows: dict[str, np.ndarray]) -> None:
    for name, row in rows.items():
        getattr(buffer, name)[0] = row
