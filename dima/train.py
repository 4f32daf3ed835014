"""Algorithm 1: collect with the current policy, learn the world model, learn the policy inside it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dima.behavior.actor_critic import ActorCritic
from dima.behavior.imagination import imagine
from dima.behavior.networks import DirectPolicy, MeanPolicy
from dima.collect import Collector
from dima.compute import why_not_compiled
from dima.config import CellConfig, DimaParameters
from dima.graphs import Graphed
from dima.learner import Scalars
from dima.native_learner import NativeLearner
from dima.random import RandomStreams, stream_seed
from dima.replay import Episode, Replay, Segments, Windows
from dima.world_model.optimizer import ModelOptimizer
from dima.world_model.world_model import WorldModel

STREAMS = ("replay", "noise", "order", "policy", "ends")


class DimaLearner(NativeLearner):
    """DIMA on one task.

    Args:
        config: of the cell; its parameters are `DimaParameters`.
        device: of networks and replay memory. The environment is stepped with a copy of the actor on the CPU.
        graphs: run updates as CUDA graphs where the device is a GPU.
    """

    REPORTED = {
        "state_decoder": ("loss",),
        "denoiser": ("loss",),
        "reward_model": ("reward", "termination"),
        "behavior": ("actor_loss", "entropy", "critic_loss", "imagined_return", "imagined_reward", "continuation", "value"),
    }

    def __init__(self, config: CellConfig, device: torch.device, *, graphs: bool = True) -> None:
        if not isinstance(config.parameters, DimaParameters):
            raise TypeError(f"{config.method} has no DIMA parameters")
        self.parameters = p = config.parameters
        super().__init__(Collector(config, p.schedule))
        spec = self._collector.spec
        shapes = (spec.state_dim, spec.n_agents, spec.obs_dim, spec.act_dim)
        torch.manual_seed(stream_seed(config.seed, "initialisation"))
        self.world_model = WorldModel(shapes, p, device).eval()
        self.actor_critic = ActorCritic(shapes, p.behavior, device)
        self.replay = Replay(p.replay, shapes, device)
        self._optimizers = {
            "state_decoder": ModelOptimizer(self.world_model.state_decoder, p.state_decoder.optimizer),
            "denoiser": ModelOptimizer(self.world_model.denoiser, p.denoiser.optimizer, p.denoiser.learning_rate_warmup_updates),
            "reward_model": ModelOptimizer(self.world_model.reward_model, p.reward_model.optimizer),
        }
        self._streams = RandomStreams(config.seed, STREAMS, device)
        if why_not_compiled(p.compute, device) is None:
            self.world_model.compile_parts()
        drawn_from = [self._streams[name] for name in ("noise", "order", "policy", "ends")]
        captured = graphs and device.type == "cuda"
        asking = ("state_decoder", "behavior") if p.state_decoder.quantizer == "vq" else ()
        if captured and asking:
            print(f"Learning of {' and '.join(asking)} runs eagerly, not as a CUDA graph: the quantizer vq asks the device at every call.")
        learning = {
            "state_decoder": self._learn_state_decoder,
            "denoiser": self._learn_denoiser,
            "reward_model": self._learn_reward_model,
            "behavior": self._learn_policy,
        }
        self._graphed = {
            name: Graphed(f"Learning of {name}", learn, drawn_from, enabled=captured and name not in asking)
            for name, learn in learning.items()
        }
        self._acting_actor = copy.deepcopy(self.actor_critic.actor).cpu()

    def run_epoch(self) -> Scalars:
        """One round of Algorithm 1. The device is asked for numbers once, at the end.

        Raises:
            DivergedError: a loss, a return or a weight is not finite.
        """
        p = self.parameters
        self.epoch += 1
        factor = p.schedule.first_epoch_update_factor if self.epoch == 1 else 1
        collected = self._collect()
        reports = {
            "state_decoder": self._repeat(factor * p.state_decoder.updates_per_epoch, self._update_state_decoder),
            "denoiser": self._repeat(factor * p.denoiser.updates_per_epoch, self._update_denoiser),
            "reward_model": self._repeat(factor * p.reward_model.updates_per_epoch, self._update_reward_model),
        }
        if self.epoch >= p.schedule.first_policy_epoch:
            reports["behavior"] = self._repeat(p.behavior.policy_updates_per_epoch, self._update_policy)
        behavior = self.actor_critic
        weights = [*self.world_model.parameters(), *behavior.actor.parameters(), *behavior.critic.parameters()]
        actors = (list(actor.parameters()) for actor in (behavior.actor, self._acting_actor))
        return {"collect": collected} | self._read(reports, weights, *actors)

    def _collect(self) -> dict[str, float]:
        return self._collect_with(DirectPolicy(self._acting_actor))

    def _store(self, part: Episode, continues: bool) -> None:
        self.replay.append(part, continues=continues)
        self.world_model.take_in(part.state)

    # An update draws from the replay memory, whose size grows, and then learns from tensors of fixed shapes: what can be a CUDA graph.

    def _update_state_decoder(self) -> Float[Tensor, " reported"]:
        states, observations = self.replay.sample_steps(self.parameters.state_decoder.batch_size, "state_decoder", self._streams["replay"])
        return self._graphed["state_decoder"](states, observations)

    def _learn_state_decoder(
        self, states: Float[Tensor, "batch state"], observations: Float[Tensor, "batch agents observation"]
    ) -> Float[Tensor, " reported"]:
        decoder = self.world_model.state_decoder.train()
        loss = decoder.loss(self.world_model.normalizer(states), observations)
        self._optimizers["state_decoder"].step(loss)
        decoder.eval()
        return loss.detach()[None]

    def _update_denoiser(self) -> Float[Tensor, " reported"]:
        config = self.parameters.denoiser
        length = config.conditioning_states + config.autoregressive_steps - 1
        return self._graphed["denoiser"](self.replay.sample_windows(config.batch_size, length, self._streams["replay"]))

    def _learn_denoiser(self, windows: Windows) -> Float[Tensor, " reported"]:
        normalizer = self.world_model.normalizer
        normalized = normalizer(windows.state), normalizer(windows.next_state)
        loss = self.world_model.denoiser.loss(windows, normalized, self._streams["noise"])
        self._optimizers["denoiser"].step(loss)
        return loss.detach()[None]

    def _update_reward_model(self) -> Float[Tensor, " reported"]:
        count, horizon = self.parameters.reward_model.batch_size, self.parameters.behavior.horizon
        return self._graphed["reward_model"](self.replay.sample_segments(count, horizon, "reward_model", self._streams["replay"]))

    def _learn_reward_model(self, segments: Segments) -> Float[Tensor, " reported"]:
        model = self.world_model.reward_model.train()
        losses = model.loss(self.world_model.normalizer(segments.state), segments)
        self._optimizers["reward_model"].step(losses["reward"] + losses["termination"], model.config.optimizer_steps_per_batch)
        model.eval()
        return self._reported("reward_model", losses)

    def _update_policy(self) -> Float[Tensor, " reported"]:
        config, steps = self.parameters.behavior, self.parameters.denoiser.conditioning_states
        # where ends are sampled, every rollout may begin anew at each of its steps but the first
        sets = config.horizon if self.parameters.reward_model.termination == "categorical" else 1
        windows = self.replay.sample_windows(sets * config.rollouts, steps, self._streams["replay"])
        return self._graphed["behavior"](windows)

    def _learn_policy(self, windows: Windows) -> Float[Tensor, " reported"]:
        rollouts, total = self.parameters.behavior.rollouts, len(windows.state)
        starts, restarts = windows.rows(0, rollouts), windows.rows(rollouts, total) if total > rollouts else None
        rollout = imagine(self.world_model, self.actor_critic.actor, starts, self.parameters.behavior, self._streams, restarts)
        return self._reported("behavior", self.actor_critic.update(rollout))

    def act(self, observations: Float[np.ndarray, "batch agents observation"]) -> Float[np.ndarray, "batch agents action"]:
        """The mean of the policy."""
        return MeanPolicy(self._acting_actor)(observations)

    def frozen_policy(self) -> MeanPolicy:
        """A copy that training does not change."""
        return MeanPolicy(copy.deepcopy(self._acting_actor))

    def load_policy(self, state: dict[str, Any]) -> None:
        """The actor alone."""
        self.actor_critic.load_state_dict(state["actor_critic"])
        self._act_with_what_was_learned()

    def _act_with_what_was_learned(self) -> None:
        self._acting_actor.load_state_dict(self.actor_critic.actor.state_dict())
        for graphed in self._graphed.values():
            graphed.forget()

    def _parts(self) -> dict[str, Any]:
        return {
            "collector": self._collector,
            "replay": self.replay,
            "world_model": self.world_model,
            "actor_critic": self.actor_critic,
            **{f"{name}_optimizer": optimizer for name, optimizer in self._optimizers.items()},
            "streams": self._streams,
        }
