"""Action conditioning: a Perceiver over (time, agent) action tokens with a key mask.

See docs/method.md#action-conditioning.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from dima.config import ActionEncoderConfig, Compute
from dima.world_model.attention import AgentActionTokens, GatedBlock, GatedFeedForward, mean_after
from dima.world_model.precision import reduced_precision


class ActionEncoder(nn.Module):
    """Joint actions of n steps to one condition vector for each set of agents revealed at the current step.

    Past steps are always visible; at the current step only the tokens of revealed agents are. Nothing here
    depends on the noise level or the noisy state, so a condition is computed once for all denoising steps.

    Args:
        agents: N.
        action_dim: A.
        steps: n, the current step included.
        condition_dim: size of the result.
        config: sizes of the Perceiver.
        compute: preset of computing.
    """

    def __init__(
        self,
        agents: int,
        action_dim: int,
        steps: int,
        condition_dim: int,
        config: ActionEncoderConfig,
        compute: Compute,
    ) -> None:
        super().__init__()
        self.compute: Compute = compute
        self.heads = config.cross_heads
        inner = config.cross_heads * config.cross_head_dim
        self.tokens = AgentActionTokens(agents, action_dim, config.token_dim)
        self.time = nn.Parameter(torch.randn(steps, config.token_dim))
        self.latents = nn.Parameter(torch.randn(config.latents, config.latent_dim))
        self.latent_norm = nn.LayerNorm(config.latent_dim)
        self.token_norm = nn.LayerNorm(config.token_dim)
        self.query = nn.Linear(config.latent_dim, inner, bias=config.attention_bias)
        self.key_value = nn.Linear(config.token_dim, 2 * inner, bias=config.attention_bias)
        self.cross_output = nn.Linear(inner, config.latent_dim)
        self.cross_feed_forward_norm = nn.LayerNorm(config.latent_dim)
        self.cross_feed_forward = GatedFeedForward(config.latent_dim, config.feed_forward_multiplier)
        sizes = (config.latent_dim, config.heads, config.head_dim, config.feed_forward_multiplier)
        self.blocks = nn.Sequential(
            *(GatedBlock(*sizes, bias=config.attention_bias) for _ in range(config.depth))
        )
        self.output = nn.Sequential(
            nn.LayerNorm(config.latent_dim), nn.Linear(config.latent_dim, condition_dim)
        )

    def forward(
        self,
        actions: Float[Tensor, "batch steps agents action"],
        revealed: Bool[Tensor, "batch masks agents"],
    ) -> Float[Tensor, "batch masks condition"]:
        """One condition for each mask; tokens, keys and values are computed once for all masks of a row."""
        with reduced_precision(self.compute, actions.device):
            latents = self._attend(self._tokens(actions), self._key_mask(revealed, actions.shape[1]))
            latents = latents + self.cross_feed_forward(self.cross_feed_forward_norm(latents))
            mean = mean_after(self.blocks, latents)
        return self.output(mean).view(*revealed.shape[:2], -1)

    def _tokens(
        self, actions: Float[Tensor, "batch steps agents action"]
    ) -> Float[Tensor, "batch tokens token"]:
        return (self.tokens(actions) + self.time[:, None]).flatten(1, 2)

    @staticmethod
    def _key_mask(
        revealed: Bool[Tensor, "batch masks agents"], steps: int
    ) -> Bool[Tensor, "batch masks tokens"]:
        past = revealed.new_ones(*revealed.shape[:2], (steps - 1) * revealed.shape[2])
        return torch.cat([past, revealed], dim=-1)

    def _attend(
        self, tokens: Float[Tensor, "batch tokens token"], visible: Bool[Tensor, "batch masks tokens"]
    ) -> Float[Tensor, "batch*masks latents latent"]:
        """Queries and keys are the same for all masks of a row: scores are computed once, then masked."""
        batch, masks, count = visible.shape
        query = self.query(self.latent_norm(self.latents)).unflatten(-1, (self.heads, -1))
        key, value = (
            self.key_value(self.token_norm(tokens))
            .view(batch, count, 2, self.heads, -1)
            .permute(2, 0, 3, 1, 4)
        )
        scores = torch.einsum("lhd,bhkd->bhlk", query * query.shape[-1] ** -0.5, key)[:, :, None]
        weights = scores.masked_fill(~visible[:, None, :, None], -math.inf).softmax(dim=-1)
        mixed = (weights.flatten(2, 3) @ value).unflatten(
            2, (masks, -1)
        )  # [batch, heads, masks, latents, dim]
        return self.latents + self.cross_output(mixed.permute(0, 2, 3, 1, 4).flatten(3).flatten(0, 1))
