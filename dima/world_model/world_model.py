"""Normaliser, denoiser, state decoder and reward model as one model that is stepped like an environment."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from dima.config import DimaParameters
from dima.experience.dimensions import Dimensions
from dima.experience.normalizer import RunningNormalizer
from dima.world_model.denoiser import Denoiser, Network
from dima.world_model.deterministic import DeterministicModel, DirectSampler
from dima.world_model.reward_model import RewardModel, Scoring
from dima.world_model.sampler import EulerSampler
from dima.world_model.state_decoder import StateDecoder


class WorldModel(nn.Module):
    """Normaliser, denoiser with its sampler, state decoder, reward model.

    States inside the model are in scaled units u = sigma_data z(s); `scale` and `unscale` convert.

    Args:
        dimensions: of the environment.
        parameters: of the DIMA learner.
        device: where the model lives.
    """

    def __init__(self, dimensions: Dimensions, parameters: DimaParameters, device: torch.device) -> None:
        super().__init__()
        states, agents, observations, actions = dimensions
        self.sigma_data = parameters.denoiser.sigma_data
        self.normalizer = RunningNormalizer(states)
        dynamics = Denoiser if parameters.denoiser.dynamics == "diffusion" else DeterministicModel
        model = dynamics(states, agents, actions, parameters.denoiser, parameters.compute)
        self.denoiser: Denoiser | DeterministicModel = model
        self.state_decoder = StateDecoder(states, agents, observations, parameters.state_decoder)
        self.reward_model = RewardModel(
            states, agents, actions, parameters.behavior.horizon, parameters.reward_model, parameters.compute
        )
        self.to(device)
        self.sampler = (
            EulerSampler(model, parameters.sampler, device)
            if isinstance(model, Denoiser)
            else DirectSampler(model, device)
        )
        self.register_load_state_dict_post_hook(lambda model, _: model._find_constants())

    def compile_parts(self) -> None:
        """Compile the most expensive parts for the shapes that occur; saved weights keep their names."""
        self.denoiser.compile_network()
        for part in (self.denoiser.action_encoder, self.reward_model):
            part.compile(dynamic=False)

    def take_in(self, states: Float[Tensor, "batch state"]) -> None:
        """Add collected raw states to the moments, and find out which components are constant."""
        self.normalizer.update(states.to(self.normalizer.mean.device))
        self._find_constants()

    def _find_constants(self) -> None:
        if isinstance(self.denoiser, Denoiser) and self.denoiser.varying is not None:
            self.denoiser.varying.copy_(self.normalizer.varies())

    def scale(self, states: Float[Tensor, "*batch state"]) -> Float[Tensor, "*batch state"]:
        """Raw states to scaled units."""
        return self.sigma_data * self.normalizer(states)

    def unscale(self, scaled: Float[Tensor, "*batch state"]) -> Float[Tensor, "*batch state"]:
        """Scaled units to raw states."""
        return self.normalizer.inverse(scaled / self.sigma_data)

    def observe(self, scaled: Float[Tensor, "batch state"]) -> Float[Tensor, "batch agents observation"]:
        """Every agent's local observation of a state."""
        return self.state_decoder(scaled / self.sigma_data)

    def prepared(self) -> Network | None:
        """The network for many calls of `step` with the same weights."""
        return self.sampler.prepared()

    def step(
        self,
        history: Float[Tensor, "batch steps state"],
        actions: Float[Tensor, "batch steps agents action"],
        order_generator: torch.Generator,
        noise_generator: torch.Generator,
        network: Network | None = None,
    ) -> Float[Tensor, "batch state"]:
        """Sample the next state, all in scaled units.

        Args:
            history: the last n states, oldest first.
            actions: the actions taken in them; the last ones are those of the step being imagined.
            order_generator: of the agents' order, where it is random.
            noise_generator: of the initial noise.
            network: what `prepared` returned, if no weight has changed since.
        """
        order = self.sampler.draw_order(len(history), order_generator)
        noise = self.sampler.draw_noise(len(history), history.shape[-1], noise_generator)
        return self.sampler.sample(history, actions, order, noise, network)

    def score(
        self,
        scaled: Float[Tensor, "batch time state"],
        actions: Float[Tensor, "batch time agents action"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
        """Reward and continuation of every step of whole rollouts, in one call."""
        reward, logits = self.reward_model(scaled / self.sigma_data, actions)
        return reward, self.reward_model.continuation(logits, generator)

    def start_scoring(self) -> Scoring:
        """The memory that `score_step` needs."""
        return Scoring(self.reward_model)

    def score_step(
        self,
        scoring: Scoring,
        scaled: Float[Tensor, "batch state"],
        action: Float[Tensor, "batch agents action"],
        begins: Bool[Tensor, " batch"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """Reward and continuation of the next step; where it `begins` an episode, others are forgotten."""
        reward, logits = scoring.step(scaled / self.sigma_data, action, begins)
        return reward, self.reward_model.continuation(logits, generator)
