"""One agent's observation as a few entries of a codebook, and back (docs/baselines.md#marie-tokenizer)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Float, Int
from torch import Tensor, nn
from vector_quantize_pytorch import VectorQuantize

from dima.config import TokenizerConfig

HIDDEN_LAYERS = 2


class Tokenizer(nn.Module):
    """MLP to `tokens` vectors, each replaced by the nearest of a codebook of running means; MLP back.

    Gradients pass the codebook straight through.

    Args:
        observation_dim: O of one agent; all agents share the tokenizer.
        config: sizes, codebook and loss.
    """

    def __init__(self, observation_dim: int, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        inner = config.tokens * config.codebook_dim
        self.encoder = _mlp([observation_dim, *[config.hidden] * HIDDEN_LAYERS, inner])
        self.decoder = _mlp([inner, *[config.hidden] * HIDDEN_LAYERS, observation_dim])
        # the rotation trick, now that library's default, is younger than MARIE
        self.quantizer = VectorQuantize(
            dim=config.codebook_dim,
            codebook_size=config.codebook_size,
            decay=config.codebook_decay,
            rotation_trick=False,
        )
        # the library asks the device at every call whether k-means has to begin the codebook, which here it
        # never has to
        self.quantizer._codebook.init_embed_ = _begin_nothing

    def encode(self, observations: Float[Tensor, "*batch observation"]) -> Int[Tensor, "*batch tokens"]:
        """Numbers of the nearest codes; the codebook stays as it is."""
        vectors = self._vectors(observations.flatten(0, -2))
        distances = torch.cdist(vectors.flatten(0, 1), self.codebook)
        return distances.argmin(dim=-1).view(*observations.shape[:-1], self.config.tokens)

    def decode(self, tokens: Int[Tensor, "*batch tokens"]) -> Float[Tensor, "*batch observation"]:
        """The observations of codes."""
        return self.decoder(self.codebook[tokens].flatten(-2))

    def forward(
        self, observations: Float[Tensor, "*batch observation"]
    ) -> Float[Tensor, "*batch observation"]:
        """Observations as the policy sees them."""
        return self.decode(self.encode(observations))

    @property
    def codebook(self) -> Float[Tensor, "codes code"]:
        """The code vectors: not parameters, but running means of the vectors assigned to them."""
        return self.quantizer.codebook

    def loss(self, observations: Float[Tensor, "batch observation"]) -> dict[str, Float[Tensor, ""]]:
        """Mean |x' - x| and mean squared distance of vectors and codes; in training the codebook moves."""
        quantized, _, commitment = self.quantizer(self._vectors(observations))
        return {
            "reconstruction": F.l1_loss(self.decoder(quantized.flatten(1)), observations),
            "commitment": commitment.sum(),
        }

    def _vectors(
        self, observations: Float[Tensor, "batch observation"]
    ) -> Float[Tensor, "batch tokens code"]:
        return self.encoder(observations).unflatten(-1, (self.config.tokens, -1))


def _begin_nothing(data: Tensor, mask: Tensor | None = None) -> None:
    """Keep the initial codes."""


def _mlp(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(before, after), nn.GELU()]
    return nn.Sequential(*layers[:-1])
