"""MAMBA's recurrent world model with attention over agents (docs/baselines.md#mamba-world-model)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dima.baselines.mamba.latent import LatentState, sampled
from dima.baselines.mamba.networks import AgentAttention, mlp, xavier
from dima.baselines.mamba.sequences import Aligned
from dima.config import Compute, MambaModelConfig
from dima.experience.dimensions import Dimensions


@dataclass(frozen=True)
class Unrolled:
    """The sampled latent states of a sequence, and the logits of their priors and posteriors."""

    states: LatentState
    prior: Float[Tensor, "batch time agents categoricals classes"]
    posterior: Float[Tensor, "batch time agents categoricals classes"]


class RecurrentModel(nn.Module):
    """Encoder, transition, prior, posterior, decoder, heads of reward, continuation and own action.

    All agents share them.

    Args:
        dimensions: of the environment.
        config: sizes.
        compute: preset of computing.
    """

    def __init__(
        self, dimensions: Dimensions, config: MambaModelConfig, compute: Compute = "reference"
    ) -> None:
        super().__init__()
        _, agents, observations, actions = dimensions
        hidden, logits = config.hidden, config.stochastic
        self.config = config
        self.encoder = mlp(observations, [hidden] * 3, config.embedding)
        self.transition_input = nn.Linear(actions + config.stochastic, hidden)
        self.attention = AgentAttention(agents, hidden, config.attention, compute)
        self.cell = nn.GRUCell(hidden, config.recurrent)
        self.prior_logits = mlp(config.recurrent, [hidden], logits)
        self.posterior_logits = mlp(config.recurrent + config.embedding, [hidden], logits)
        self.decoder = nn.Sequential(mlp(config.feature, [hidden] * 2, hidden), nn.ReLU())
        self.observation_head = nn.Linear(hidden, observations)
        self.action_head = mlp(hidden, [hidden] * 2, actions)
        self.reward_head = mlp(config.feature, [hidden] * 2, 1)
        self.continuation_head = mlp(config.feature, [hidden] * 2, 1)
        xavier(self)

    def initial(self, batch: int, agents: int) -> LatentState:
        """Before an episode's first observation: zeros."""
        like = self.transition_input.weight
        return LatentState(
            *(like.new_zeros(batch, agents, size) for size in (self.config.recurrent, self.config.stochastic))
        )

    def advance(
        self, state: LatentState, action: Float[Tensor, "batch agents action"]
    ) -> Float[Tensor, "batch agents recurrent"]:
        """The next deterministic states: Linear and ReLU, attention over the agents, the recurrent cell."""
        tokens = self.attention(self.transition_input(torch.cat([action, state.stochastic], dim=-1)).relu())
        return self.cell(tokens.flatten(0, 1), state.deterministic.flatten(0, 1)).view(
            state.deterministic.shape
        )

    def prior(
        self, deterministic: Float[Tensor, "*batch recurrent"]
    ) -> Float[Tensor, "*batch categoricals classes"]:
        """Logits of the stochastic state before anything is observed."""
        return self.prior_logits(deterministic).unflatten(-1, (self.config.categoricals, self.config.classes))

    def posterior(
        self, deterministic: Float[Tensor, "*batch recurrent"], embedding: Float[Tensor, "*batch embedding"]
    ) -> Float[Tensor, "*batch categoricals classes"]:
        """Logits of the stochastic state of what is observed."""
        logits = self.posterior_logits(torch.cat([deterministic, embedding], dim=-1))
        return logits.unflatten(-1, (self.config.categoricals, self.config.classes))

    def imagine_step(
        self, state: LatentState, action: Float[Tensor, "batch agents action"], generator: torch.Generator
    ) -> LatentState:
        """The next latent state, by the prior."""
        deterministic = self.advance(state, action)
        return LatentState(deterministic, sampled(self.prior(deterministic), generator))

    def observe_step(
        self,
        state: LatentState,
        action: Float[Tensor, "batch agents action"],
        observation: Float[Tensor, "batch agents observation"],
        generator: torch.Generator | None,
    ) -> LatentState:
        """The next latent state, by the posterior; without a generator the most likely."""
        deterministic = self.advance(state, action)
        return LatentState(
            deterministic, sampled(self.posterior(deterministic, self.encoder(observation)), generator)
        )

    def unroll(self, sequence: Aligned, generator: torch.Generator) -> Unrolled:
        """The posterior chain over a batch of sequences, restarted with every episode."""
        embedding = self.encoder(sequence.observation)
        batch, time, agents, _ = embedding.shape
        state = self.initial(batch, agents)
        states, posteriors = [], []
        for step in range(time):
            deterministic = self.advance(
                state.forgotten(sequence.begins[:, step]), sequence.previous_action[:, step]
            )
            posteriors.append(self.posterior(deterministic, embedding[:, step]))
            state = LatentState(deterministic, sampled(posteriors[-1], generator))
            states.append(state)
        deterministic = torch.stack([state.deterministic for state in states], dim=1)
        stochastic = torch.stack([state.stochastic for state in states], dim=1)
        return Unrolled(
            LatentState(deterministic, stochastic), self.prior(deterministic), torch.stack(posteriors, dim=1)
        )

    def outcome(
        self,
        stochastic: Float[Tensor, "*batch stochastic"],
        next_deterministic: Float[Tensor, "*batch recurrent"],
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Reward and continuation logit of a step, by agent, from stochastic_t and deterministic_{t+1}."""
        feature = torch.cat([stochastic, next_deterministic], dim=-1)
        return self.reward_head(feature)[..., 0], self.continuation_head(feature)[..., 0]
