"""A small action encoder: attention among the visible action tokens, then their mean.

Option O4 of docs/method.md#variants.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from dima.config import ActionEncoderConfig, Compute
from dima.world_model.attention import AgentActionTokens, GatedBlock
from dima.world_model.precision import reduced_precision


class SetEncoder(nn.Module):
    """Joint actions of n steps to one condition vector for each set of agents revealed at the current step.

    Args:
        agents: N.
        action_dim: A.
        steps: n, the current step included.
        condition_dim: size of the result.
        config: `token_dim`, `depth`, `heads`, `head_dim`, `feed_forward_multiplier` and `attention_bias` are
            used.
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
        self.tokens = AgentActionTokens(agents, action_dim, config.token_dim)
        self.time = nn.Parameter(torch.randn(steps, config.token_dim))
        sizes = (config.token_dim, config.heads, config.head_dim, config.feed_forward_multiplier)
        self.blocks = nn.ModuleList(
            GatedBlock(*sizes, bias=config.attention_bias) for _ in range(config.depth)
        )
        self.output = nn.Sequential(
            nn.LayerNorm(config.token_dim), nn.Linear(config.token_dim, condition_dim)
        )

    def forward(
        self,
        actions: Float[Tensor, "batch steps agents action"],
        revealed: Bool[Tensor, "batch masks agents"],
    ) -> Float[Tensor, "batch masks condition"]:
        """One condition for each mask; past steps are always seen whole."""
        batch, masks, agents = revealed.shape
        with reduced_precision(self.compute, actions.device):
            tokens = (self.tokens(actions) + self.time[:, None]).flatten(1, 2)
            past = revealed.new_ones(batch, masks, tokens.shape[1] - agents)
            visible = torch.cat([past, revealed], dim=-1).flatten(0, 1)
            tokens = tokens.repeat_interleave(masks, dim=0)
            allowed = visible[:, None].expand(-1, visible.shape[1], -1)
            for block in self.blocks:
                tokens = block(tokens, allowed)
        seen = visible[..., None].to(tokens.dtype)
        return self.output((tokens * seen).sum(dim=1) / seen.sum(dim=1)).view(batch, masks, -1)
