"""MARIE in training: collect, learn tokenizer, world model on its tokens, and policy inside it
(docs/baselines.md#marie-schedule).
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dima.baselines.marie.actor_critic import MarieActorCritic
from dima.baselines.marie.imagination import imagine, imagine_along
from dima.baselines.marie.networks import ReconstructingActor
from dima.baselines.marie.tokenizer import Tokenizer
from dima.baselines.marie.world_model import TokenWorldModel
from dima.behavior.networks import MeanPolicy, SampledPolicy
from dima.config import CellConfig, MarieParameters, ReplayConfig
from dima.experience.collect import Collector
from dima.experience.random import RandomStreams, stream_seed
from dima.experience.replay import Episode, Replay
from dima.learning.learner import Imagined, Past, Scalars
from dima.learning.native_learner import NativeLearner
from dima.world_model.open_loop import NO_ORDER
from dima.world_model.optimizer import ModelOptimizer

STREAMS = ("replay", "starts", "policy", "tokens")


class MarieLearner(NativeLearner):
    """MARIE on one task.

    Args: config: of the cell; its parameters are `MarieParameters`. device: of networks and replay memory.
        The environment is stepped with a copy of tokenizer and actor on the CPU.
    """

    past = 1
    REPORTED = {
        "tokenizer": ("reconstruction", "commitment"),
        "world_model": ("tokens", "reward", "continuation"),
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

    def __init__(self, config: CellConfig, device: torch.device) -> None:
        if not isinstance(config.parameters, MarieParameters):
            raise TypeError(f"{config.method} has no MARIE parameters")
        self.parameters, self._device = (p := config.parameters), device
        super().__init__(Collector(config, p.schedule))
        spec = self._collector.spec
        torch.manual_seed(stream_seed(config.seed, "initialisation"))
        self.tokenizer = Tokenizer(spec.obs_dim, p.tokenizer).to(device).eval()
        sizes = (
            spec.n_agents,
            spec.act_dim,
            p.tokenizer.tokens,
            p.tokenizer.codebook_size,
            p.behavior.horizon,
        )
        self.world_model = TokenWorldModel(*sizes, p.world_model, p.compute).to(device).eval()
        self.actor_critic = MarieActorCritic((spec.n_agents, spec.obs_dim, spec.act_dim), p.behavior, device)
        # global states are not kept
        memory = ReplayConfig.by_visits(p.replay_capacity)
        self.replay = Replay(
            memory, (0, spec.n_agents, spec.obs_dim, spec.act_dim), device, ("tokenizer", "world_model")
        )
        self._optimizers = {
            "tokenizer": ModelOptimizer(self.tokenizer, p.tokenizer.optimizer),
            "world_model": ModelOptimizer(self.world_model, p.world_model.optimizer),
        }
        self._streams = RandomStreams(config.seed, STREAMS, device)
        self._trained = ReconstructingActor(self.tokenizer, self.actor_critic.actor)
        self._acting = copy.deepcopy(self._trained).cpu()

    def run_epoch(self) -> Scalars:
        """Collect, and learn what is due in this epoch. The device is asked for numbers once, at the end.

        Raises:
            DivergedError: a loss, a return or a weight is not finite.
        """
        p = self.parameters
        self.epoch += 1
        collected = self.collect()
        reports = {"tokenizer": self._repeat(p.tokenizer.updates_per_epoch, self._update_tokenizer)}
        if self.epoch >= p.schedule.first_world_model_epoch:
            reports["world_model"] = self._repeat(p.world_model.updates_per_epoch, self._update_world_model)
        if self.epoch >= p.schedule.first_policy_epoch:
            reports["behavior"] = self._repeat(p.behavior.policy_updates_per_epoch, self._update_policy)
        trained = self._trained.acting()
        weights = [*self.world_model.parameters(), *self.actor_critic.critic.parameters(), *trained]
        return {"collect": collected} | self._read(reports, weights, trained, self._acting.acting())

    def _collect(self) -> dict[str, float]:
        return self._collect_with(SampledPolicy(self._acting))

    def _store(self, part: Episode, continues: bool) -> None:
        self.replay.append(
            replace(part, state=part.state[:, :0], next_state=part.next_state[:, :0]), continues=continues
        )

    def _update_tokenizer(self) -> Float[Tensor, " reported"]:
        config = self.parameters.tokenizer
        _, observations = self.replay.sample_steps(config.batch_size, "tokenizer", self._streams["replay"])
        losses = self.tokenizer.train().loss(observations.flatten(0, 1))
        self._optimizers["tokenizer"].step(
            losses["reconstruction"] + config.commitment_coefficient * losses["commitment"]
        )
        self.tokenizer.eval()
        return self._reported("tokenizer", losses)

    def _update_world_model(self) -> Float[Tensor, " reported"]:
        count, horizon = self.parameters.world_model.batch_size, self.parameters.behavior.horizon
        sequences = self.replay.sample_sequences(count, horizon, "world_model", self._streams["replay"])
        with torch.no_grad():
            tokens = self.tokenizer.encode(sequences.observation)
        losses = self.world_model.train().loss(tokens, sequences)
        self._optimizers["world_model"].step(torch.stack(list(losses.values())).sum())
        self.world_model.eval()
        return self._reported("world_model", losses)

    def _update_policy(self) -> Float[Tensor, " reported"]:
        config = self.parameters.behavior
        starts = self.replay.sample_starts(config.rollouts, self._streams["starts"])
        rollout = imagine(
            self.tokenizer, self.world_model, self.actor_critic.actor, starts, config, self._streams
        )
        return self._reported("behavior", self.actor_critic.update(rollout))

    def act(
        self, observations: Float[np.ndarray, "batch agents observation"]
    ) -> Float[np.ndarray, "batch agents action"]:
        """The mean of the policy at the reconstructed observations."""
        return MeanPolicy(self._acting)(observations)

    def frozen_policy(self) -> MeanPolicy:
        """A copy that training does not change."""
        return MeanPolicy(copy.deepcopy(self._acting))

    def exploring_policy(self, seed: int) -> SampledPolicy:
        """A copy of tokenizer and actor; nothing follows from `seed`, as it has no latent states."""
        return SampledPolicy(copy.deepcopy(self._trained).cpu())

    def imagine_along(
        self, past: Past, actions: Float[np.ndarray, "horizon agents action"], seed: int
    ) -> dict[str, Imagined]:
        """Observations that follow from the last one, as far as the context reaches."""
        start, following = (
            torch.from_numpy(values).float().to(self._device)
            for values in (past.observation[-1], actions[: self.parameters.behavior.horizon - 1])
        )
        generator = torch.Generator(self._device).manual_seed(seed)
        predicted = imagine_along(self.tokenizer, self.world_model, start, following, generator)
        return {NO_ORDER: Imagined(predicted.double().cpu().numpy())}

    def load_policy(self, state: dict[str, Any]) -> None:
        """Tokenizer and actor alone."""
        self.tokenizer.load_state_dict(state["tokenizer"])
        self.actor_critic.actor.load_state_dict(state["actor_critic"]["actor"])
        self._act_with_what_was_learned()

    def _act_with_what_was_learned(self) -> None:
        self._acting.load_state_dict(self._trained.state_dict())

    def _parts(self) -> dict[str, Any]:
        return {
            "collector": self._collector,
            "replay": self.replay,
            "tokenizer": self.tokenizer,
            "world_model": self.world_model,
            "actor_critic": self.actor_critic,
            **{f"{name}_optimizer": optimizer for name, optimizer in self._optimizers.items()},
            "streams": self._streams,
        }
