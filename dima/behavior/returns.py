"""Lambda-returns of imagined rollouts (eq. 19)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor


def lambda_returns(
    reward: Float[Tensor, "batch time"],
    continuation: Float[Tensor, "batch time"],
    value: Float[Tensor, "batch time+1"],
    discount: float,
    return_lambda: float,
    form: Literal["exact", "release"] = "exact",
) -> Float[Tensor, "batch time"]:
    """V_t = r_t + gamma c_t [(1 - lambda) v_{t+1} + lambda V_{t+1}], with V_H = v_H.

    The release multiplies the one-step term by gamma twice (docs/method.md#returns); `form` chooses.

    Args:
        reward: r_t.
        continuation: c_t, 0 where the episode ends with step t.
        value: v_t of the states, the last one after the rollout.
        discount: gamma.
        return_lambda: lambda.
        form: of the one-step term.
    """
    one_step = discount**2 if form == "release" else discount
    following = value[:, -1]
    returns = []
    for step in reversed(range(reward.shape[1])):
        mixed = one_step * (1 - return_lambda) * value[:, step + 1] + discount * return_lambda * following
        following = reward[:, step] + continuation[:, step] * mixed
        returns.append(following)
    return torch.stack(returns[::-1], dim=1)
