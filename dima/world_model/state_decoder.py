"""From the global state to every agent's observation (paper section 3.2, Table 3, eq. 22)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Float
from torch import Tensor, nn
from vector_quantize_pytorch import FSQ, VectorQuantize

from dima.config import StateDecoderConfig

COMMITMENT_WEIGHT = 10.0


class StateDecoder(nn.Module):
    """MLP to `tokens` codes, quantised, MLP to the joint observation.

    With `fsq` a token has one scalar for each entry of `levels`; with `vq` it is a vector of `codebook_dim`
    (the release's default).

    Args:
        state_dim: D.
        agents: N.
        observation_dim: O.
        config: sizes, quantiser and loss.
    """

    def __init__(self, state_dim: int, agents: int, observation_dim: int, config: StateDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.shape = (agents, observation_dim)
        if config.quantizer == "fsq":
            code_dim = len(config.levels)
            self.quantizer: nn.Module = FSQ(levels=list(config.levels))
        else:
            code_dim = config.codebook_dim
            self.quantizer = VectorQuantize(
                dim=code_dim,
                codebook_size=config.codebook_size,
                decay=config.codebook_decay,
                commitment_weight=COMMITMENT_WEIGHT,
                rotation_trick=config.rotation_trick,
            )
        self.code_shape = (config.tokens, code_dim)
        self.encoder = _three_layers(state_dim, config.hidden, config.tokens * code_dim)
        self.decoder = _three_layers(config.tokens * code_dim, config.hidden, agents * observation_dim)

    def forward(self, states: Float[Tensor, "batch state"]) -> Float[Tensor, "batch agents observation"]:
        """Observations from z-scored states."""
        return self._reconstruct(states)[0]

    def loss(
        self, states: Float[Tensor, "batch state"], observations: Float[Tensor, "batch agents observation"]
    ) -> Float[Tensor, ""]:
        """Mean absolute (release) or squared (eq. 22) error of the observations; `vq`: plus commitment."""
        predicted, commitment = self._reconstruct(states)
        error = (
            F.l1_loss(predicted, observations)
            if self.config.loss == "l1"
            else F.mse_loss(predicted, observations)
        )
        return error + commitment

    def _reconstruct(
        self, states: Float[Tensor, "batch state"]
    ) -> tuple[Float[Tensor, "batch agents observation"], Float[Tensor, ""]]:
        codes = self.encoder(states).view(-1, *self.code_shape)
        quantized, *rest = self.quantizer(codes)
        commitment = (
            rest[-1].sum() if self.config.quantizer == "vq" else torch.zeros((), device=states.device)
        )
        return self.decoder(quantized.flatten(1)).view(-1, *self.shape), commitment


def _three_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, outputs)
    )
