"""The causal transformer that scores reward and termination of a whole rollout (Table 3, eq. 23)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Bool, Float
from torch import Tensor, nn

from dima.config import Compute, RewardModelConfig
from dima.experience.transitions import Segments
from dima.world_model.attention import AgentActionTokens, GatedBlock, KeyValueCache, SelfAttention, mean_after
from dima.world_model.dropout import Dropout, dropout
from dima.world_model.precision import reduced_precision

INITIAL_STD = 0.02
FEED_FORWARD_MULTIPLIER = 4
ACTIONS = slice(1, None, 2)
"""The actions among the tokens; a step is scored where its action is."""


class JointActionToken(nn.Module):
    """All agents' actions as one token: attention over the agents, mean, LayerNorm, Linear.

    See docs/method.md#reward-and-termination.
    """

    def __init__(self, agents: int, action_dim: int, config: RewardModelConfig) -> None:
        super().__init__()
        self.tokens = AgentActionTokens(agents, action_dim, config.dim)
        sizes = (config.dim, config.action_heads, config.action_head_dim, config.feed_forward_multiplier)
        self.blocks = nn.Sequential(
            *(GatedBlock(*sizes, bias=config.action_attention_bias) for _ in range(config.action_layers))
        )
        self.output = nn.Sequential(nn.LayerNorm(config.dim), nn.Linear(config.dim, config.dim))

    def forward(self, actions: Float[Tensor, "batch time agents action"]) -> Float[Tensor, "batch time dim"]:
        """One token for each step."""
        mean = mean_after(self.blocks, self.tokens(actions.flatten(0, 1)))
        return self.output(mean).unflatten(0, actions.shape[:2])


class TransformerBlock(nn.Module):
    """Pre-norm GPT block with dropout after attention and feed-forward."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        wide = FEED_FORWARD_MULTIPLIER * dim
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, heads, dim // heads, dropout, bias=True)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, wide), nn.GELU(), nn.Linear(wide, dim), Dropout(dropout)
        )

    def forward(
        self,
        tokens: Float[Tensor, "batch time dim"],
        allowed: Bool[Tensor, "#batch asked keys"] | None,
        cache: KeyValueCache | None = None,
        asked: slice | None = None,
    ) -> Float[Tensor, "batch asked dim"]:
        """Causal attention, inside episodes where `allowed` says so.

        With a `cache` and no `allowed`, tokens attend to all in the cache and to one another. The result, and
        the rows of `allowed`, are those of the tokens `asked`; None: all.
        """
        causal = allowed is None and cache is None
        attended = self.attention(
            self.attention_norm(tokens), allowed, causal=causal, cache=cache, asked=asked
        )
        tokens = (tokens if asked is None else tokens[:, asked]) + attended
        return tokens + self.feed_forward(self.feed_forward_norm(tokens))


class RewardModel(nn.Module):
    """Reward r_i and termination from z-scored states and actions up to step i; the next state is no input.

    Args:
        state_dim: D.
        agents: N.
        action_dim: A.
        horizon: longest rollout in steps (two tokens each).
        config: sizes and the kind of termination.
        compute: preset of computing.
    """

    def __init__(
        self,
        state_dim: int,
        agents: int,
        action_dim: int,
        horizon: int,
        config: RewardModelConfig,
        compute: Compute = "reference",
    ) -> None:
        super().__init__()
        self.config = config
        self.compute: Compute = compute
        dim = config.dim
        self.state_token = nn.Sequential(
            nn.Linear(state_dim, dim),
            nn.LayerNorm(dim),
            nn.SiLU(),
            nn.Linear(dim, dim),
            nn.LayerNorm(dim),
            nn.SiLU(),
            nn.Linear(dim, dim),
        )
        self.action_token = JointActionToken(agents, action_dim, config)
        self.position = nn.Parameter(torch.zeros(2 * horizon, dim))
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, config.heads, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.reward_head = head(dim, 1)
        self.termination_head = head(dim, 2 if config.termination == "categorical" else 1)
        self.apply(_initialize)
        for embedding in (self.position, self.action_token.tokens.agent):
            nn.init.normal_(embedding, std=INITIAL_STD)

    def forward(
        self,
        states: Float[Tensor, "batch time state"],
        actions: Float[Tensor, "batch time agents action"],
        episode: torch.Tensor | None = None,
    ) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time logits"]]:
        """Rewards and termination logits of all steps in one call.

        `episode` [batch, time] numbers the episodes of a segment, inside which attention stays; None: one.
        """
        allowed = None if episode is None else _causal_within(episode.repeat_interleave(2, dim=1))
        return self.score(
            states, actions, self.position[: 2 * states.shape[1]], allowed, [None] * len(self.blocks)
        )

    def score(
        self,
        states: Float[Tensor, "batch time state"],
        actions: Float[Tensor, "batch time agents action"],
        position: Float[Tensor, "tokens dim"],
        allowed: Bool[Tensor, "batch tokens keys"] | None,
        caches: Sequence[KeyValueCache | None],
    ) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time logits"]]:
        """Rewards and termination logits of the steps after those in `caches`, one cache a block, if any.

        `position` has the embeddings of their tokens. `allowed` says what they see; None: all that came
        before in the rollout.
        """
        state_tokens = self.state_token(states)
        with reduced_precision(self.compute, states.device):
            tokens = torch.stack(
                [state_tokens, self.action_token(actions).to(state_tokens.dtype)], dim=2
            ).flatten(1, 2)
            tokens = dropout(tokens + position, self.config.dropout, self.training)
            *first, (last, last_cache) = zip(self.blocks, caches, strict=True)
            for block, cache in first:
                tokens = block(tokens, allowed, cache)
            if allowed is None:
                allowed = torch.ones(
                    1, tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=tokens.device
                ).tril()
            outputs = last(
                tokens, allowed[:, ACTIONS], last_cache, ACTIONS
            )  # nothing reads what it would make of states
        outputs = self.norm(outputs)
        return self.reward_head(outputs)[..., 0], self.termination_head(outputs)

    def loss(
        self, states: Float[Tensor, "batch time state"], segments: Segments
    ) -> dict[str, Float[Tensor, ""]]:
        """SmoothL1 (beta 1) of the raw team reward and cross-entropy of the end, step means (eq. 23)."""
        ended = segments.terminated | segments.truncated
        target = ended if self.config.timeout_is_termination else segments.terminated
        episode = F.pad(ended.long().cumsum(1)[:, :-1], (1, 0))
        reward, logits = self(states, segments.action, episode)
        if self.config.termination == "categorical":
            termination = F.cross_entropy(logits.flatten(0, 1), target.flatten().long())
        else:
            termination = F.binary_cross_entropy_with_logits(logits[..., 0], 1.0 - target.float())
        return {"reward": F.smooth_l1_loss(reward, segments.reward), "termination": termination}

    def continuation(
        self, logits: Float[Tensor, "*batch logits"], generator: torch.Generator
    ) -> Float[Tensor, "*batch"]:
        """Probability that the episode continues (`bernoulli`), or a sample of it, 0 or 1 (`categorical`).

        Class 1 is the end.
        """
        if self.config.termination == "bernoulli":
            return logits[..., 0].sigmoid()
        ends = logits.softmax(dim=-1)[..., 1]
        return (torch.rand(ends.shape, generator=generator, device=ends.device) >= ends).float()


class Scoring:
    """The steps of a batch of rollouts that the reward model has seen; each further step costs two tokens.

    Args:
        model: whose scores they are.
    """

    def __init__(self, model: RewardModel) -> None:
        self._model = model
        self._caches = [KeyValueCache(len(model.position)) for _ in model.blocks]
        self._begins: list[Tensor] = []

    def step(
        self,
        state: Float[Tensor, "batch state"],
        action: Float[Tensor, "batch agents action"],
        begins: Bool[Tensor, " batch"],
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch logits"]]:
        """Reward and termination logits of the next step; where it `begins` an episode, it sees no other."""
        self._begins.append(begins)
        first, tokens = 2 * len(self._begins) - 2, 2 * len(self._begins)
        episode = torch.stack(self._begins, dim=1).long().cumsum(dim=1).repeat_interleave(2, dim=1)
        allowed = _causal_within(episode)[:, first:]
        reward, logits = self._model.score(
            state[:, None], action[:, None], self._model.position[first:tokens], allowed, self._caches
        )
        return reward[:, 0], logits[:, 0]


def head(dim: int, outputs: int, layers: int = 3) -> nn.Sequential:
    """`layers` linear layers, the hidden ones of size `dim`, with ReLU between them."""
    hidden = [layer for _ in range(layers - 1) for layer in (nn.Linear(dim, dim), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(dim, outputs))


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=INITIAL_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _causal_within(episode: torch.Tensor) -> Bool[Tensor, "batch tokens tokens"]:
    """Token i may look at token j <= i of its own episode."""
    same = episode[:, :, None] == episode[:, None, :]
    return same & torch.ones_like(same[0]).tril()
