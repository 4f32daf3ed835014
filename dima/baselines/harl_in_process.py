"""HARL's own training on given worlds and a given device. Importing this module needs the extra `harl`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from harl.algorithms.actors.happo import HAPPO
from harl.algorithms.actors.hasac import HASAC
from harl.algorithms.actors.mappo import MAPPO
from harl.algorithms.critics.soft_twin_continuous_q_critic import SoftTwinContinuousQCritic
from harl.algorithms.critics.v_critic import VCritic
from harl.common.buffers.off_policy_buffer_ep import OffPolicyBufferEP
from harl.common.buffers.on_policy_actor_buffer import OnPolicyActorBuffer
from harl.common.buffers.on_policy_critic_buffer_ep import OnPolicyCriticBufferEP
from harl.common.valuenorm import ValueNorm
from harl.runners.off_policy_ha_runner import OffPolicyHARunner
from harl.runners.on_policy_ha_runner import OnPolicyHARunner
from harl.runners.on_policy_ma_runner import OnPolicyMARunner

from dima.baselines.harl_environment import HarlWorlds
from dima.baselines.harl_settings import HarlSettings

# HARL's constructors also make environments, folders, log files and a process title, so those here stand in
# their place. Actors are built before the critic, as in HARL: one seed gives both the same weights.


class _InProcessOnPolicy:
    """Networks, optimisers and buffers of HARL's on-policy methods.

    Attributes:
        actors: each actor once; `actor`, HARL's own list, holds one for every agent.
    """

    actor_class: type[Any]

    def __init__(self, settings: HarlSettings, worlds: HarlWorlds, device: torch.device) -> None:
        train, model, algo = settings["train"], settings["model"], settings["algo"]
        self.algo_args = settings
        self.envs = worlds
        self.num_agents = worlds.n_agents
        self.state_type = "EP"  # HARL's word for a global state that all agents share
        self.recurrent_n = model["recurrent_n"]
        self.rnn_hidden_size = model["hidden_sizes"][-1]
        self.action_aggregation = algo["action_aggregation"]
        self.share_param = algo["share_param"]
        self.fixed_order = algo["fixed_order"]
        spaces = worlds.observation_space[0], worlds.action_space[0]
        n_actors = 1 if self.share_param else self.num_agents
        self.actors = [self.actor_class({**model, **algo}, *spaces, device) for _ in range(n_actors)]
        self.actor = self.actors * (self.num_agents // n_actors)
        self.actor_buffer = [OnPolicyActorBuffer({**train, **model}, *spaces) for _ in range(self.num_agents)]
        self.critic = VCritic({**model, **algo}, worlds.share_observation_space[0], device)
        self.critic_buffer = OnPolicyCriticBufferEP(
            {**train, **model, **algo}, worlds.share_observation_space[0]
        )
        self.value_normalizer = ValueNorm(1, device=device) if train["use_valuenorm"] else None


class InProcessMappo(_InProcessOnPolicy, OnPolicyMARunner):
    """HARL's MAPPO."""

    actor_class = MAPPO


class InProcessHappo(_InProcessOnPolicy, OnPolicyHARunner):
    """HARL's HAPPO."""

    actor_class = HAPPO


class InProcessHasac(OffPolicyHARunner):
    """HARL's HASAC: networks, optimisers, temperatures and replay buffer."""

    def __init__(self, settings: HarlSettings, worlds: HarlWorlds, device: torch.device) -> None:
        train, model, algo = settings["train"], settings["model"], settings["algo"]
        self.args = {"algo": "hasac"}
        self.algo_args = settings
        self.envs = worlds
        self.device = device
        self.num_agents = worlds.n_agents
        self.state_type = "EP"
        self.share_param = algo["share_param"]
        self.fixed_order = algo["fixed_order"]
        self.policy_freq = 1
        self.total_it = 0
        self.agent_deaths = np.zeros((train["n_rollout_threads"], self.num_agents, 1))
        self.train_episode_rewards = np.zeros(train["n_rollout_threads"])
        self.done_episodes_rewards: list[float] = []
        self.actor = [
            HASAC({**model, **algo}, worlds.observation_space[0], worlds.action_space[0], device)
            for _ in range(self.num_agents)
        ]
        everything = {**train, **model, **algo}
        self.critic = SoftTwinContinuousQCritic(
            everything,
            worlds.share_observation_space[0],
            worlds.action_space,
            self.num_agents,
            self.state_type,
            device,
        )
        self.buffer = OffPolicyBufferEP(
            everything,
            worlds.share_observation_space[0],
            self.num_agents,
            worlds.observation_space,
            worlds.action_space,
        )
        self.value_normalizer = ValueNorm(1, device=device) if train["use_valuenorm"] else None
        if algo["auto_alpha"]:
            self.target_entropy = [-float(np.prod(space.shape)) for space in worlds.action_space]
            self.log_alpha = [
                torch.zeros(1, requires_grad=True, device=device) for _ in range(self.num_agents)
            ]
            self.alpha_optimizer = [
                torch.optim.Adam([log_alpha], lr=algo["alpha_lr"]) for log_alpha in self.log_alpha
            ]
            self.alpha = [torch.exp(log_alpha.detach()) for log_alpha in self.log_alpha]
        else:
            self.alpha = [algo["alpha"]] * self.num_agents
