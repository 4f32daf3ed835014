"""The latent state of an agent: what its recurrent cell holds, and a sampled class of each categorical."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class LatentState:
    """Of every agent: the state of its recurrent cell, and its one-hot categoricals concatenated."""

    deterministic: Float[Tensor, "*batch agents recurrent"]
    stochastic: Float[Tensor, "*batch agents stochastic"]

    @property
    def feature(self) -> Float[Tensor, "*batch agents feature"]:
        """What actor, critic and heads see."""
        return torch.cat([self.stochastic, self.deterministic], dim=-1)

    def forgotten(self, begins: Bool[Tensor, "*batch"]) -> LatentState:
        """With zeros in the worlds where an episode `begins`."""
        keep = ~begins[..., None, None]
        return LatentState(self.deterministic * keep, self.stochastic * keep)


def sampled(
    logits: Float[Tensor, "*batch categoricals classes"], generator: torch.Generator | None
) -> Float[Tensor, "*batch categoricals*classes"]:
    """One-hot classes, concatenated: drawn from `generator`, or without one the most likely.

    Straight-through: the gradient is the probabilities'.
    """
    scores = logits.detach()
    if generator is not None:
        # the largest of logit + Gumbel noise is a sample; unlike `torch.multinomial` it asks the device
        # nothing
        scores = scores - torch.empty_like(scores).exponential_(generator=generator).log()
    chosen = torch.zeros_like(scores).scatter(-1, scores.argmax(dim=-1, keepdim=True), 1.0)
    probabilities = logits.softmax(dim=-1)
    return (chosen + (probabilities - probabilities.detach())).flatten(-2)


def divergence(
    first: Float[Tensor, "*batch categoricals classes"], second: Float[Tensor, "*batch categoricals classes"]
) -> Float[Tensor, "*batch"]:
    """KL(first || second) of two products of categoricals, as the mean over the categoricals."""
    log_first, log_second = first.log_softmax(dim=-1), second.log_softmax(dim=-1)
    return (log_first.exp() * (log_first - log_second)).sum(dim=-1).mean(dim=-1)


def balanced_divergence(
    posterior: Float[Tensor, "*batch categoricals classes"],
    prior: Float[Tensor, "*batch categoricals classes"],
    prior_weight: float,
) -> Float[Tensor, "*batch"]:
    """(1 - w) KL(posterior || sg prior) + w KL(sg posterior || prior), without free bits.

    The prior moves more than the posterior.
    """
    towards_prior, towards_posterior = (
        divergence(posterior, prior.detach()),
        divergence(posterior.detach(), prior),
    )
    return (1 - prior_weight) * towards_prior + prior_weight * towards_posterior
