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
from dima.behavior.networks import DirectPolicy, MeanPolicy, SampledPolicy
from dima.config import CellConfig, DimaParameters
from dima.experience.collect import Collector
from dima.experience.random import RandomStreams, stream_seed
from dima.experience.replay import Episode, Replay
from dima.learning.compute import why_not_compiled, why_not_fused
from dima.learning.gpu import needed_memory, require_memory
from dima.learning.graphs import Updates
from dima.learning.learner import Imagined, Past, Scalars
from dima.learning.native_learner import NativeLearner
from dima.world_model.denoiser import Denoiser
from dima.world_model.open_loop import observe, open_loop, own_order_first
from dima.world_model.optimizer import ModelOptimizer
from dima.world_model.world_model import WorldModel

MODEL_STREAMS = ("state_decoder", "denoiser", "reward_model")
"""Of the parts of the world model, each of which draws from its own alone, so that their updates may take
turns in any order."""
BEHAVIOR_STREAMS = ("replay", "noise", "order", "policy", "ends")


class DimaLearner(NativeLearner):
    """DIMA on one task.

    Args:
        config: of the cell; its parameters are `DimaParameters`.
        device: of networks and replay memory. The environment is stepped with a copy of the actor on the CPU.
        graphs: run updates as CUDA graphs where the device is a GPU.

    Raises: UserError: the GPU has too little free memory, or the task another number of agents than its
        configuration says.
    """

    REPORTED = {
        "state_decoder": ("loss",),
        "denoiser": ("loss",),
        "reward_model": ("reward", "termination"),
        "behavior": (
            "actor_loss",
            "entropy",
            "critic_loss",
            "imagined_return",
            "imagined_reward",
            "continuation",
            "value",
        ),
    }

    def __init__(self, config: CellConfig, device: torch.device, *, graphs: bool = True) -> None:
        if not isinstance(config.parameters, DimaParameters):
            raise TypeError(f"{config.method} has no DIMA parameters")
        self.parameters = p = config.parameters
        self.past, self._device = p.denoiser.conditioning_states, device
        super().__init__(Collector(config, p.schedule))
        spec = self._collector.spec
        shapes = (spec.state_dim, spec.n_agents, spec.obs_dim, spec.act_dim)
        if device.type == "cuda":
            require_memory(needed_memory(p, shapes), device)
        torch.manual_seed(stream_seed(config.seed, "initialisation"))
        self.world_model = WorldModel(shapes, p, device).eval()
        self.actor_critic = ActorCritic(shapes, p.behavior, device)
        captured = graphs and device.type == "cuda"
        self.replay = Replay(p.replay, shapes, device, fixed_shapes=captured)
        self._optimizers = {
            "state_decoder": ModelOptimizer(self.world_model.state_decoder, p.state_decoder.optimizer),
            "denoiser": ModelOptimizer(
                self.world_model.denoiser, p.denoiser.optimizer, p.denoiser.learning_rate_warmup_updates
            ),
            "reward_model": ModelOptimizer(self.world_model.reward_model, p.reward_model.optimizer),
        }
        self._streams = RandomStreams(config.seed, (*MODEL_STREAMS, *BEHAVIOR_STREAMS), device)
        if why_not_compiled(p.compute, device) is None:
            self.world_model.compile_parts()
        denoiser = self.world_model.denoiser
        if isinstance(denoiser, Denoiser) and why_not_fused(p.denoiser, device, p.compute) is None:
            denoiser.fuse()
        asking = ("state_decoder", "behavior") if p.state_decoder.quantizer == "vq" else ()
        if captured and asking:
            print(
                f"Learning of {' and '.join(asking)} runs eagerly, not as a CUDA graph: the quantizer vq asks the device at every call."
            )
        recorded = [part for part in self.REPORTED if captured and part not in asking]
        self._model_updates = Updates([self._streams[name] for name in MODEL_STREAMS], recorded)
        self._policy_updates = Updates(
            [self._streams[name] for name in BEHAVIOR_STREAMS], recorded, per_graph=1
        )
        self._acting_actor = copy.deepcopy(self.actor_critic.actor).cpu()

    def run_epoch(self) -> Scalars:
        """One round of Algorithm 1. The device is asked for numbers once, at the end.

        Raises:
            DivergedError: a loss, a return or a weight is not finite.
        """
        p = self.parameters
        self.epoch += 1
        factor = p.schedule.first_epoch_update_factor if self.epoch == 1 else 1
        collected = self.collect()
        model = {
            "state_decoder": (factor * p.state_decoder.updates_per_epoch, self._update_state_decoder),
            "denoiser": (factor * p.denoiser.updates_per_epoch, self._update_denoiser),
            "reward_model": (factor * p.reward_model.updates_per_epoch, self._update_reward_model),
        }
        reports = self.watch("world_model", lambda: self._model_updates(model))
        if self.epoch >= p.schedule.first_policy_epoch:
            policy = {"behavior": (p.behavior.policy_updates_per_epoch, self._update_policy)}
            reports |= self.watch("policy", lambda: self._policy_updates(policy))
        behavior = self.actor_critic
        weights = [
            *self.world_model.parameters(),
            *behavior.actor.parameters(),
            *behavior.critic.parameters(),
        ]
        actors = (list(actor.parameters()) for actor in (behavior.actor, self._acting_actor))
        means = {part: reported.mean(dim=0) for part, reported in reports.items()}
        return {"collect": collected} | self._read(means, weights, *actors)

    def is_recorded(self, part: str) -> bool:
        """Whether a part's updates run as a CUDA graph."""
        return any(updates.records(part) for updates in (self._model_updates, self._policy_updates))

    def _collect(self) -> dict[str, float]:
        return self._collect_with(DirectPolicy(self._acting_actor))

    def _store(self, part: Episode, continues: bool) -> None:
        self.replay.append(part, continues=continues)
        self.world_model.take_in(part.state)

    # An update asks the device nothing and always has the same shapes, however full the replay memory is:
    # what a CUDA graph can be.

    def _update_state_decoder(self) -> Float[Tensor, " reported"]:
        decoder, stream = self.world_model.state_decoder.train(), self._streams["state_decoder"]
        states, observations = self.replay.sample_steps(
            self.parameters.state_decoder.batch_size, "state_decoder", stream
        )
        loss = decoder.loss(self.world_model.normalizer(states), observations)
        self._optimizers["state_decoder"].step(loss)
        decoder.eval()
        return loss.detach()[None]

    def _update_denoiser(self) -> Float[Tensor, " reported"]:
        config, stream, normalizer = (
            self.parameters.denoiser,
            self._streams["denoiser"],
            self.world_model.normalizer,
        )
        windows = self.replay.sample_windows(
            config.batch_size, config.conditioning_states + config.autoregressive_steps - 1, stream
        )
        normalized = normalizer(windows.state), normalizer(windows.next_state)
        loss = self.world_model.denoiser.loss(windows, normalized, stream)
        self._optimizers["denoiser"].step(loss)
        return loss.detach()[None]

    def _update_reward_model(self) -> Float[Tensor, " reported"]:
        model, horizon = self.world_model.reward_model.train(), self.parameters.behavior.horizon
        segments = self.replay.sample_segments(
            model.config.batch_size, horizon, "reward_model", self._streams["reward_model"]
        )
        losses = model.loss(self.world_model.normalizer(segments.state), segments)
        self._optimizers["reward_model"].step(
            losses["reward"] + losses["termination"], model.config.optimizer_steps_per_batch
        )
        model.eval()
        return self._reported("reward_model", losses)

    def _update_policy(self) -> Float[Tensor, " reported"]:
        config, steps = self.parameters.behavior, self.parameters.denoiser.conditioning_states
        # where ends are sampled, every rollout may begin anew at each of its steps but the first
        sets = config.horizon if self.parameters.reward_model.termination == "categorical" else 1
        windows = self.replay.sample_windows(sets * config.rollouts, steps, self._streams["replay"])
        starts, restarts = (
            windows.rows(0, config.rollouts),
            windows.rows(config.rollouts, len(windows.state)) if sets > 1 else None,
        )
        rollout = imagine(self.world_model, self.actor_critic.actor, starts, config, self._streams, restarts)
        return self._reported("behavior", self.actor_critic.update(rollout))

    def act(
        self, observations: Float[np.ndarray, "batch agents observation"]
    ) -> Float[np.ndarray, "batch agents action"]:
        """The mean of the policy."""
        return MeanPolicy(self._acting_actor)(observations)

    def frozen_policy(self) -> MeanPolicy:
        """A copy that training does not change."""
        return MeanPolicy(copy.deepcopy(self._acting_actor))

    def exploring_policy(self, seed: int) -> SampledPolicy:
        """A copy of the actor; nothing follows from `seed`, as it has no latent states."""
        return SampledPolicy(copy.deepcopy(self.actor_critic.actor).cpu())

    def imagine_along(
        self, past: Past, actions: Float[np.ndarray, "horizon agents action"], seed: int
    ) -> dict[str, Imagined]:
        """One rollout for every order of the agents, the model's own first."""
        model, given = self.world_model, (past.state[-self.past :], past.action[1 - self.past :], actions)
        history, before, following = (
            torch.from_numpy(values).float().to(self._device)[None] for values in given
        )
        rollouts = {}
        for order, sampler in own_order_first(model).items():
            scaled = open_loop(model, sampler, history, before, following, seed)
            predicted = observe(model, scaled), model.unscale(scaled)
            rollouts[order] = Imagined(*(values[0].double().cpu().numpy() for values in predicted))
        return rollouts

    def load_policy(self, state: dict[str, Any]) -> None:
        """The actor alone."""
        self.actor_critic.load_state_dict(state["actor_critic"])
        self._act_with_what_was_learned()

    def _act_with_what_was_learned(self) -> None:
        self._acting_actor.load_state_dict(self.actor_critic.actor.state_dict())
        for updates in (self._model_updates, self._policy_updates):
            updates.forget()

    def _parts(self) -> dict[str, Any]:
        return {
            "collector": self._collector,
            "replay": self.replay,
            "world_model": self.world_model,
            "actor_critic": self.actor_critic,
            **{f"{name}_optimizer": optimizer for name, optimizer in self._optimizers.items()},
            "streams": self._streams,
        }
