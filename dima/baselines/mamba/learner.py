"""MAMBA's loop: collect an episode with the recurrent policy, learn the world model, learn the policy in its
latent states.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dima.baselines.mamba.actor_critic import MambaActorCritic
from dima.baselines.mamba.imagination import filtered, imagine, imagine_along
from dima.baselines.mamba.latent import LatentState
from dima.baselines.mamba.losses import model_losses
from dima.baselines.mamba.policy import RecurrentPolicy, SampledRecurrentPolicy
from dima.baselines.mamba.recurrent_model import RecurrentModel
from dima.baselines.mamba.sequences import Aligned, aligned, stored
from dima.config import CellConfig, MambaParameters, ReplayConfig
from dima.experience.collect import Collector, Sampling
from dima.experience.random import RandomStreams, stream_seed
from dima.experience.replay import Episode, Replay
from dima.learning.learner import Imagined, Past, Scalars
from dima.learning.native_learner import NativeLearner
from dima.world_model.open_loop import NO_ORDER
from dima.world_model.optimizer import ModelOptimizer

STREAMS = ("replay", "absorbing", "latent", "policy", "minibatches")


class MambaLearner(NativeLearner):
    """MAMBA on one task, as a `dima.learning.learner.Learner` (docs/baselines.md#mamba).

    Args: config: of the cell; its parameters are `MambaParameters`. device: of networks and replay memory.
        The environment is stepped with a copy of model and actor on the CPU.

    Rewards and returns are reported in scaled units.
    """

    past = 1
    REPORTED = {
        "model": ("reconstruction", "reward", "continuation", "divergence", "information"),
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
        if not isinstance(config.parameters, MambaParameters):
            raise TypeError(f"{config.method} has no MAMBA parameters")
        self.parameters, self._device = (p := config.parameters), device
        super().__init__(Collector(config, p.schedule))
        spec = self._collector.spec
        torch.manual_seed(stream_seed(config.seed, "initialisation"))
        self.model = (
            RecurrentModel((spec.n_agents, spec.obs_dim, spec.act_dim), p.model, p.compute).to(device).eval()
        )
        self.actor_critic = MambaActorCritic(spec.n_agents, spec.act_dim, p, device)
        self._model_optimizer = ModelOptimizer(self.model, p.model.optimizer)
        # no global state is stored; its sequences are drawn uniformly, whatever the rules of the other views
        uniform = ReplayConfig.by_visits(p.replay_capacity)
        self.replay = Replay(uniform, (0, spec.n_agents, spec.obs_dim, spec.act_dim), device)
        self._streams = RandomStreams(config.seed, STREAMS, device)
        self._acting_model = copy.deepcopy(self.model).cpu()
        self._acting_actor = copy.deepcopy(self.actor_critic.actor).cpu()
        self._acting = SampledRecurrentPolicy(
            self._acting_model, self._acting_actor, stream_seed(config.seed, "acting")
        )

    def run_epoch(self) -> Scalars:
        """Collect, then learn. The device is asked for numbers once, at the end.

        Raises:
            DivergedError: a loss, a return or a weight is not finite.
        """
        self.epoch += 1
        collected = self.collect()
        reports = {
            "model": self._repeat(self.parameters.model.updates_per_epoch, self._update_model),
            "behavior": self._repeat(self.parameters.behavior.policy_updates_per_epoch, self._update_policy),
        }
        trained = [*self.model.parameters(), *self.actor_critic.actor.parameters()]
        acting = [*self._acting_model.parameters(), *self._acting_actor.parameters()]
        return {"collect": collected} | self._read(
            reports, [*trained, *self.actor_critic.critic.parameters()], trained, acting
        )

    def _collect(self) -> dict[str, float]:
        return self._collect_with(self._sample)

    def _sample(
        self,
        observation: Float[np.ndarray, "1 agents observation"],
        noise: Float[np.ndarray, "1 agents action"],
    ) -> Float[np.ndarray, "1 agents action"]:
        if self._collector.at_start:
            self._acting.forget()
        return self._acting.sample(observation, noise)

    def _store(self, part: Episode, continues: bool) -> None:
        self.replay.append(stored(part, self._streams["absorbing"]), continues=continues)

    def _sequences(self) -> Aligned:
        config = self.parameters.model
        sequences = self.replay.sample_uniform_sequences(
            config.batch_size, config.sequence_length, self._streams["replay"]
        )
        return aligned(sequences, self.parameters.reward_scale)

    def _update_model(self) -> Float[Tensor, " reported"]:
        self.model.train()
        losses = model_losses(self.model, self._sequences(), self._streams["latent"])
        self._model_optimizer.step(torch.stack([losses[name] for name in self.REPORTED["model"]]).sum())
        self.model.eval()
        return self._reported("model", losses)

    def _update_policy(self) -> Float[Tensor, " reported"]:
        latent = self._streams["latent"]
        with torch.no_grad():
            states = self.model.unroll(self._sequences(), latent).states
        # as in the losses, the last row of each sequence is left out
        start = LatentState(
            *(values[:, :-1].flatten(0, 1) for values in (states.deterministic, states.stochastic))
        )
        horizon = self.parameters.behavior.horizon
        rollout = imagine(
            self.model, self.actor_critic.actor, start, horizon, self._streams["policy"], latent
        )
        return self._reported("behavior", self.actor_critic.update(rollout, self._streams["minibatches"]))

    def act(
        self, observations: Float[np.ndarray, "batch agents observation"]
    ) -> Float[np.ndarray, "batch agents action"]:
        """The deterministic action at an episode's first step."""
        return self.frozen_policy()(observations)

    def frozen_policy(self) -> RecurrentPolicy:
        """A copy that training does not change and that remembers nothing yet."""
        return RecurrentPolicy(copy.deepcopy(self._acting_model), copy.deepcopy(self._acting_actor))

    def exploring_policy(self, seed: int) -> Sampling:
        """A copy of model and actor that remembers nothing yet."""
        model, actor = copy.deepcopy(self.model).cpu(), copy.deepcopy(self.actor_critic.actor).cpu()
        return SampledRecurrentPolicy(model, actor, stream_seed(seed, "study latent")).sample

    def imagine_along(
        self, past: Past, actions: Float[np.ndarray, "horizon agents action"], seed: int
    ) -> dict[str, Imagined]:
        """Observations that follow from the whole episode so far."""
        observed, before, following = (
            torch.from_numpy(values).float().to(self._device)
            for values in (past.observation, past.action, actions)
        )
        generator = torch.Generator(self._device).manual_seed(seed)
        start = filtered(self.model, observed, before)
        predicted = imagine_along(self.model, start, following, generator)
        return {NO_ORDER: Imagined(predicted.double().cpu().numpy())}

    def load_policy(self, state: dict[str, Any]) -> None:
        """The model, whose latent states the actor sees, and the actor."""
        self.model.load_state_dict(state["model"])
        self.actor_critic.actor.load_state_dict(state["actor_critic"]["actor"])
        self._act_with_what_was_learned()

    def _act_with_what_was_learned(self) -> None:
        self._acting_model.load_state_dict(self.model.state_dict())
        self._acting_actor.load_state_dict(self.actor_critic.actor.state_dict())

    def _parts(self) -> dict[str, Any]:
        return {
            "collector": self._collector,
            "acting": self._acting,
            "replay": self.replay,
            "model": self.model,
            "model_optimizer": self._model_optimizer,
            "actor_critic": self.actor_critic,
            "streams": self._streams,
        }
