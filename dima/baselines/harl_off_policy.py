"""HASAC by the real HARL: its classes do the learning in this process, on this project's environments and
event log.

HARL saves weights alone; here a checkpoint also holds target networks, optimisers, temperatures, the replay
buffer, the simulation and the random streams, so that a killed run continues bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from dima.baselines.harl_learner import HarlLearner, load_harl, load_moments, moments_of, returns_of
from dima.baselines.harl_settings import off_policy_settings
from dima.config import CellConfig, HarlOffPolicyParameters
from dima.experience.collect import saved_simulation
from dima.learning.learner import Scalars

SHARED_ROWS = ("share_obs", "next_share_obs", "rewards", "dones", "terms")
AGENT_ROWS = ("obs", "next_obs", "actions", "valid_transitions")
"""What HARL's buffer stores of a transition, for the team and for each agent."""
CRITICS = ("critic", "critic2", "target_critic", "target_critic2")
Actions = Float[np.ndarray, "batch agents action"]


class HarlOffPolicyLearner(HarlLearner):
    """HARL's HASAC. The first epoch is the warm-up with uniform actions, each later one `train_interval`
    steps of every world and updates.

    The warm-up counts as environment steps of the budget, to which HARL adds it.

    Args:
        config: a cell whose parameters are `HarlOffPolicyParameters`.
        device: where the networks are.

    Raises:
        UserError: HARL is not installed.
    """

    def __init__(self, config: CellConfig, device: torch.device) -> None:
        parameters = config.parameters
        if not isinstance(parameters, HarlOffPolicyParameters):
            raise TypeError(f"HARL's off-policy methods cannot read {type(parameters).__name__}")
        harl = load_harl(config.method)
        super().__init__(config, parameters.rollout_threads, device)
        self._parameters = parameters
        self._vector_steps = (config.task.env_steps - parameters.warmup_steps) // parameters.rollout_threads
        self._updates = int(parameters.updates_per_vector_step * parameters.train_interval)
        with self._streams:
            self._runner = harl.InProcessHasac(off_policy_settings(parameters), self.worlds, device)
            self._seen = self.worlds.reset()
        # HARL seeds every agent's action space with the seed plus its number, from 1
        self._uniform = [
            np.random.Generator(np.random.PCG64(config.seed + agent + 1))
            for agent in range(self.worlds.n_agents)
        ]

    def _update(self) -> tuple[int, Scalars]:
        """HARL's training loop up to its next round of updates, or its warm-up."""
        parameters, runner = self._parameters, self._runner
        if self.epoch == 0 and parameters.warmup_steps:
            return self._collect(parameters.warmup_steps // parameters.rollout_threads, self._draw_uniformly)
        steps, scalars = self._collect(parameters.train_interval, self._draw_from_policy)
        if parameters.linear_learning_rate_decay:
            done = (self.env_steps + steps - parameters.warmup_steps) // parameters.rollout_threads
            for learning in (*runner.actor, runner.critic):
                learning.lr_decay(min(done, self._vector_steps), self._vector_steps)
        for _ in range(self._updates):
            runner.train()
        temperatures = [float(alpha) for alpha in (*runner.alpha, runner.critic.alpha)]
        scalars["temperature"] = {"actors": float(np.mean(temperatures[:-1])), "critic": temperatures[-1]}
        scalars["updates"] = {"count": float(runner.total_it)}
        return steps, scalars

    def _collect(
        self, vector_steps: int, draw: Callable[[Float[np.ndarray, "batch agents observation"]], Actions]
    ) -> tuple[int, Scalars]:
        """Step every world and store the transitions."""
        runner, returns, rewards = self._runner, [], []
        for _ in range(vector_steps):
            obs, share_obs, available = self._seen
            actions = draw(obs)
            outcome = self.worlds.step(actions)
            following = outcome.obs.copy(), outcome.share_obs.copy(), outcome.available_actions
            transition = (
                share_obs,
                obs.transpose(1, 0, 2),
                actions.transpose(1, 0, 2),
                None,
                outcome.rewards,
                outcome.dones,
                outcome.infos,
            )
            runner.insert((*transition, following[1], following[0], None))
            self._seen = outcome.obs, outcome.share_obs, available
            returns += returns_of(outcome.infos)
            rewards.append(float(outcome.rewards.mean()))
        scalars = {"rollout": {"reward": float(np.mean(rewards)), "episodes": float(len(returns))}}
        if returns:
            scalars["rollout"]["episode_return"] = float(np.mean(returns))
        return vector_steps * self._parameters.rollout_threads, scalars

    def _draw_uniformly(self, observations: Float[np.ndarray, "batch agents observation"]) -> Actions:
        """Each agent's action space sampled for one world after the other, as HARL does."""
        size = self.worlds.action_space[0].shape
        drawn = [
            [uniform.uniform(-1.0, 1.0, size) for _ in range(len(observations))] for uniform in self._uniform
        ]
        return np.array(drawn, dtype=np.float32).transpose(1, 0, 2)

    def _draw_from_policy(self, observations: Float[np.ndarray, "batch agents observation"]) -> Actions:
        return self._runner.get_actions(observations, [None] * len(observations), True)

    @torch.no_grad()
    def act(self, observations: Float[np.ndarray, "batch agents observation"]) -> Actions:
        """tanh of each agent's mean. One transfer takes the observations to the device, one brings all
        actions.
        """
        seen = torch.from_numpy(observations).to(self._device)
        actions = [
            actor.get_actions(seen[:, agent], stochastic=False)
            for agent, actor in enumerate(self._runner.actor)
        ]
        return torch.stack(actions, dim=1).cpu().numpy()

    def state_dict(self) -> dict[str, Any]:
        """Everything the next epoch reads, copied; the learning rate follows from `env_steps`."""
        runner, buffer = self._runner, self._runner.buffer
        filled = buffer.cur_size
        state = {
            "epoch": self.epoch,
            "env_steps": self.env_steps,
            "random_streams": self._streams.state_dict(),
            "environment": saved_simulation(self.worlds.environment),
            "obs": self._seen[0],
            "share_obs": self._seen[1],
            "updates": runner.total_it,
            "actors": [dict(actor.actor.state_dict()) for actor in runner.actor],
            "actor_optimizers": [moments_of(actor.actor_optimizer) for actor in runner.actor],
            **{name: dict(getattr(runner.critic, name).state_dict()) for name in CRITICS},
            "critic_optimizer": moments_of(runner.critic.critic_optimizer),
            "temperatures": [temperature.detach() for temperature, _ in self._temperatures()],
            "temperature_optimizers": [moments_of(optimizer) for _, optimizer in self._temperatures()],
            "buffer": {
                "next_row": buffer.idx,
                "filled": filled,
                **{name: getattr(buffer, name)[:filled] for name in SHARED_ROWS},
                **{name: [rows[:filled] for rows in getattr(buffer, name)] for name in AGENT_ROWS},
            },
        }
        if runner.value_normalizer is not None:
            state["value_normalizer"] = dict(runner.value_normalizer.state_dict())
        return deepcopy(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()` of a learner with the same configuration."""
        state = deepcopy(state)
        runner, buffer = self._runner, self._runner.buffer
        self.epoch = state["epoch"]
        self.env_steps = state["env_steps"]
        self._streams.load_state_dict(state["random_streams"])
        runner.total_it = state["updates"]
        self.load_policy(state)
        for actor, moments in zip(runner.actor, state["actor_optimizers"], strict=True):
            load_moments(actor.actor_optimizer, moments)
        for name in CRITICS:
            getattr(runner.critic, name).load_state_dict(state[name])
        load_moments(runner.critic.critic_optimizer, state["critic_optimizer"])
        for (temperature, optimizer), value, moments in zip(
            self._temperatures(), state["temperatures"], state["temperature_optimizers"], strict=True
        ):
            temperature.data.copy_(value)
            load_moments(optimizer, moments)
        self._read_temperatures()
        if runner.value_normalizer is not None:
            runner.value_normalizer.load_state_dict(state["value_normalizer"])
        stored = state["buffer"]
        buffer.idx, buffer.cur_size = stored["next_row"], stored["filled"]
        for name in SHARED_ROWS:
            getattr(buffer, name)[: buffer.cur_size] = stored[name]
        for name in AGENT_ROWS:
            for rows, values in zip(getattr(buffer, name), stored[name], strict=True):
                rows[: buffer.cur_size] = values
        if state["environment"] is None:  # the simulator could not be saved: new episodes
            self._seen = self.worlds.reset()
            return
        self.worlds.environment.set_sim_state(state["environment"])
        self._seen = state["obs"], state["share_obs"], self._seen[2]

    def load_policy(self, state: dict[str, Any]) -> None:
        """The actors alone."""
        for actor, weights in zip(self._runner.actor, state["actors"], strict=True):
            actor.actor.load_state_dict(weights)

    def _temperatures(self) -> list[tuple[torch.Tensor, torch.optim.Optimizer]]:
        """Logarithms of the learned temperatures with their optimisers.

        The agents', then the critic's own.
        """
        if not self._parameters.automatic_temperature:
            return []
        runner = self._runner
        own = runner.critic.log_alpha, runner.critic.alpha_optimizer
        return [*zip(runner.log_alpha, runner.alpha_optimizer, strict=True), own]

    def _read_temperatures(self) -> None:
        """HARL keeps the exponentials beside the logarithms."""
        if self._parameters.automatic_temperature:
            runner = self._runner
            runner.alpha = [torch.exp(log_alpha.detach()) for log_alpha in runner.log_alpha]
            runner.critic.alpha = torch.exp(runner.critic.log_alpha.detach())

    def _networks(self) -> Iterable[nn.Module]:
        return [
            *(actor.actor for actor in self._runner.actor),
            *(getattr(self._runner.critic, name) for name in CRITICS),
        ]
