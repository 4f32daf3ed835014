"""MAMBA acting in real worlds on the CPU, with each agent's latent state and previous action remembered."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dima.baselines.mamba.latent import LatentState
from dima.baselines.mamba.recurrent_model import RecurrentModel
from dima.behavior.networks import Actor


class RecurrentPolicy:
    """The deterministic policy: the mean action at the most likely latent state.

    The episodes of its worlds begin at the first call.

    Args:
        model: on the CPU, in evaluation mode.
        actor: on the CPU.
    """

    def __init__(self, model: RecurrentModel, actor: Actor) -> None:
        self._model = model
        self._actor = actor
        self._memory: tuple[LatentState, Tensor] | None = None

    @torch.no_grad()
    def __call__(
        self, observations: Float[np.ndarray, "batch agents observation"]
    ) -> Float[np.ndarray, "batch agents action"]:
        state = self._infer(torch.from_numpy(observations), None)
        return self._take(state, self._actor(state.feature).mean)

    def _infer(
        self, observations: Float[Tensor, "batch agents observation"], generator: torch.Generator | None
    ) -> LatentState:
        """The latent states of what is observed and remembered."""
        if self._memory is None:
            batch, agents, _ = observations.shape
            self._memory = (
                self._model.initial(batch, agents),
                torch.zeros(batch, agents, self._actor.mean.out_features),
            )
        return self._model.observe_step(*self._memory, observations, generator)

    def _take(
        self, state: LatentState, actions: Float[Tensor, "batch agents action"]
    ) -> Float[np.ndarray, "batch agents action"]:
        """The actions, remembered with the states they were taken in, as the environment clips them."""
        self._memory = state, actions.clamp(-1, 1)
        return actions.numpy()


class SampledRecurrentPolicy(RecurrentPolicy):
    """The stochastic policy that collects in one world.

    Latent states are drawn from their posteriors, actions from the given noise.

    Args:
        model: on the CPU, in evaluation mode.
        actor: on the CPU.
        seed: of the latent states.
    """

    def __init__(self, model: RecurrentModel, actor: Actor, seed: int) -> None:
        super().__init__(model, actor)
        self._generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def sample(
        self,
        observations: Float[np.ndarray, "batch agents observation"],
        noise: Float[np.ndarray, "batch agents action"],
    ) -> Float[np.ndarray, "batch agents action"]:
        """Mean plus deviation times `noise`."""
        state = self._infer(torch.from_numpy(observations), self._generator)
        policy = self._actor(state.feature)
        return self._take(state, policy.mean + policy.stddev * torch.from_numpy(noise))

    def forget(self) -> None:
        """Begin an episode with the next call."""
        self._memory = None

    def state_dict(self) -> dict[str, Any]:
        """The memory of the episode in progress, and the random stream."""
        memory = None
        if self._memory is not None:
            state, action = self._memory
            memory = {"deterministic": state.deterministic, "stochastic": state.stochastic, "action": action}
        return {"memory": memory, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        memory = state["memory"]
        self._memory = (
            None
            if memory is None
            else (LatentState(memory["deterministic"], memory["stochastic"]), memory["action"])
        )
        self._generator.set_state(state["generator"])
