"""Experience as MAMBA's world model reads it: absorbing rows after terminations, previous actions."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dima.experience.transitions import Episode, Sequences

ABSORBING_ROWS = 2
"""The first gives the termination a following latent state to be seen in; the second does so for the
first."""


def stored(part: Episode, generator: torch.Generator) -> Episode:
    """(A part of) an episode without global states, plus two absorbing rows after a true termination.

    An absorbing row has a zero observation, a random action and reward 0. It is marked as terminated and
    truncated at once, which no environment's step is. A time limit is no termination
    (docs/baselines.md#mamba-adaptations, number 7).
    """
    part = Episode(**_rows(part) | {name: getattr(part, name)[:, :0] for name in ("state", "next_state")})
    if not bool(part.terminated[-1]):
        return part
    absorbing = {
        name: values.new_zeros(ABSORBING_ROWS, *values.shape[1:]) for name, values in _rows(part).items()
    }
    uniform = torch.rand(absorbing["action"].shape, generator=generator, device=generator.device)
    absorbing["action"] = 2 * uniform.to(part.action.device) - 1
    for name in ("terminated", "truncated"):
        absorbing[name].fill_(True)
    return Episode(**{name: torch.cat([values, absorbing[name]]) for name, values in _rows(part).items()})


def _rows(part: Episode) -> dict[str, Tensor]:
    return {field.name: getattr(part, field.name) for field in fields(part)}


@dataclass(frozen=True)
class Aligned:
    """Row t: o_t, the action a_{t-1} that led to it, and the reward and end of the step taken at o_t.

    The previous action is clipped as the environments clip it, and 0 where an episode `begins`. `absorbing`
    rows are made up.
    """

    observation: Float[Tensor, "batch time agents observation"]
    previous_action: Float[Tensor, "batch time agents action"]
    begins: Bool[Tensor, "batch time"]
    absorbing: Bool[Tensor, "batch time"]
    reward: Float[Tensor, "batch time"]
    terminated: Bool[Tensor, "batch time"]


def aligned(sequences: Sequences, reward_scale: float) -> Aligned:
    """Pairs of neighbouring rows, one row fewer, rewards times `reward_scale`.

    A row begins an episode after a time limit, and where absorbing rows end: an episode always follows them.
    See docs/baselines.md#mamba-data-alignment.
    """
    absorbing = sequences.terminated & sequences.truncated
    timed_out = sequences.truncated & ~sequences.terminated
    begins = timed_out[:, :-1] | absorbing[:, :-1] & ~absorbing[:, 1:]
    return Aligned(
        observation=sequences.observation[:, 1:],
        previous_action=sequences.action[:, :-1].clamp(-1, 1) * ~begins[..., None, None],
        begins=begins,
        absorbing=absorbing[:, 1:],
        reward=reward_scale * sequences.reward[:, 1:],
        terminated=sequences.terminated[:, 1:],
    )
