"""Actions as tokens, and the places of tokens in a block (docs/baselines.md#marie-tokens)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def action_bins(actions: Float[Tensor, "*batch action"], bins: int) -> Int[Tensor, "*batch action"]:
    """Numbers of the uniform bins of [-1, 1]; entries outside count as on the border.

    NaN gets some bin, too: the learner reports it at the end of its epoch.
    """
    return ((actions.clamp(-1.0, 1.0) + 1.0) / 2.0 * bins).long().clamp(0, bins - 1)


class BlockLayout(NamedTuple):
    """One agent's step: the tokens of observation and action, and a slot for what all agents do together.

    The output at every observation token but the last predicts the next one; the output at the slot predicts
    reward, continuation, and the first observation token of the next block.
    """

    observation_tokens: int
    action_tokens: int

    @property
    def length(self) -> int:
        """Tokens of a block."""
        return self.observation_tokens + self.action_tokens + 1

    def sequence(
        self,
        tokens: Float[Tensor, "batch time agents tokens dim"],
        slots: Float[Tensor, "batch time agents dim"],
    ) -> Float[Tensor, "rows length dim"]:
        """Every agent's blocks in a row: embeddings of observation and action tokens, then the slot."""
        blocks = torch.cat([tokens, slots[:, :, :, None]], dim=3)
        return blocks.permute(0, 2, 1, 3, 4).flatten(0, 1).flatten(1, 2)

    def allowed(self, episode: Int[Tensor, "batch time"]) -> Bool[Tensor, "batch length length"]:
        """Token i may look at token j <= i of its own episode; `episode` numbers those of a window."""
        numbers = episode.repeat_interleave(self.length, dim=1)
        same = numbers[:, :, None] == numbers[:, None, :]
        return same & torch.ones_like(same[0]).tril()

    def predicting(
        self, outputs: Float[Tensor, "rows length dim"]
    ) -> tuple[Float[Tensor, "rows time tokens dim"], Float[Tensor, "rows time dim"]]:
        """Outputs that predict observation tokens 2 to K of their block, then 1 of the next; the slots'."""
        blocks = outputs.unflatten(1, (-1, self.length))
        slots = blocks[:, :, -1]
        return torch.cat([blocks[:, :, : self.observation_tokens - 1], slots[:, :, None]], dim=2), slots
