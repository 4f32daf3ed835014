"""HARL's own on-policy training, on worlds and a device it is handed. Importing this module needs the extra `harl`."""

from __future__ import annotations

import torch
from harl.algorithms.actors.mappo import MAPPO
from harl.algorithms.critics.v_critic import VCritic
from harl.common.buffers.on_policy_actor_buffer import OnPolicyActorBuffer
from harl.common.buffers.on_policy_critic_buffer_ep import OnPolicyCriticBufferEP
from harl.common.valuenorm import ValueNorm
from harl.runners.on_policy_ma_runner import OnPolicyMARunner

from dima.baselines.harl_environment import HarlWorlds
from dima.baselines.harl_settings import HarlSettings


class InProcessMappo(OnPolicyMARunner):
    """HARL's MAPPO: its networks, optimisers, buffers and training methods.

    HARL's constructor also makes environments, folders, log files and a process title, so this one stands in its place.
    Actors are built before the critic, as in HARL: one seed gives both the same weights.

    Attributes:
        actors: each actor once; `actor`, HARL's own list, holds one for every agent.
    """

    def __init__(self, settings: HarlSettings, worlds: HarlWorlds, device: torch.device) -> None:
        train, model, algo = settings["train"], settings["model"], settings["algo"]
        self.algo_args = settings
        self.envs = worlds
        self.num_agents = worlds.n_agents
        self.state_type = "EP"  # HARL's word for a global state that all agents share
        self.recurrent_n = model["recurrent_n"]
        self.rnn_hidden_size = model["hidden_sizes"][-1]
        self.share_param = algo["share_param"]
        spaces = worlds.observation_space[0], worlds.action_space[0]
        n_actors = 1 if self.share_param else self.num_agents
        self.actors = [MAPPO({**model, **algo}, *spaces, device) for _ in range(n_actors)]
        self.actor = self.actors * (self.num_agents // n_actors)
        self.actor_buffer = [OnPolicyActorBuffer({**train, **model}, *spaces) for _ in range(self.num_agents)]
        self.critic = VCritic({**model, **algo}, worlds.share_observation_space[0], device)
        self.critic_buffer = OnPolicyCriticBufferEP({**train, **model, **algo}, worlds.share_observation_space[0])
        self.value_normalizer = ValueNorm(1, device=device) if train["use_valuenorm"] else None
