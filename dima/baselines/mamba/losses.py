"""The losses of MAMBA's world model (docs/baselines.md#mamba-losses)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Bool, Float
from torch import Tensor

from dima.baselines.mamba.latent import balanced_divergence
from dima.baselines.mamba.recurrent_model import RecurrentModel
from dima.baselines.mamba.sequences import Aligned


def model_losses(
    model: RecurrentModel, sequence: Aligned, generator: torch.Generator
) -> dict[str, Float[Tensor, ""]]:
    """The losses of a batch of sequences; what is descended is their sum.

    The last row of a sequence only gives the row before it a deterministic state to be scored in. Sums over
    an agent's observation, like a log-likelihood, and means over everything else.

    reconstruction: smooth L1 of the observations, absorbing rows left out.
    reward: smooth L1 of r_t from [stochastic_t, deterministic_{t+1}], the team's reward for every agent.
    continuation: Bernoulli from the same, of 1 - terminated_t. Both leave out rows that another episode
        follows: t + 1 has forgotten t.
    divergence: balanced KL of posterior and prior.
    information: squared error of the action a_{t-1} that each agent's decoder recovers, where there is one
        (adaptation 4).
    """
    unrolled = model.unroll(sequence, generator)
    rows = slice(None), slice(0, -1)
    features = unrolled.states.feature[rows]
    real = ~sequence.absorbing[rows]
    decoded = model.decoder(features)
    misfit = F.smooth_l1_loss(
        model.observation_head(decoded), sequence.observation[rows], reduction="none"
    ).sum(dim=-1)
    reward, continuation = model.outcome(
        unrolled.states.stochastic[rows], unrolled.states.deterministic[:, 1:]
    )
    followed = ~sequence.begins[:, 1:]
    goes_on = (~sequence.terminated[rows]).float()
    recovered = (model.action_head(decoded) - sequence.previous_action[rows]).square().mean(dim=-1)
    return {
        "reconstruction": _mean(misfit, real),
        "reward": _mean(
            F.smooth_l1_loss(reward, _for_each_agent(sequence.reward[rows], reward), reduction="none"),
            followed,
        ),
        "continuation": _mean(
            F.binary_cross_entropy_with_logits(
                continuation, _for_each_agent(goes_on, continuation), reduction="none"
            ),
            followed,
        ),
        "divergence": balanced_divergence(
            unrolled.posterior[rows], unrolled.prior[rows], model.config.prior_kl_weight
        ).mean(),
        "information": _mean(recovered, real & ~sequence.begins[rows]),
    }


def _for_each_agent(
    values: Float[Tensor, "batch time"], like: Float[Tensor, "batch time agents"]
) -> Float[Tensor, "batch time agents"]:
    return values[..., None].expand_as(like)


def _mean(
    errors: Float[Tensor, "batch time agents"], counted: Bool[Tensor, "batch time"]
) -> Float[Tensor, ""]:
    """Over all agents of the rows that are counted; 0 where none is."""
    return (errors.mean(dim=-1) * counted).sum() / counted.sum().clamp(min=1)
