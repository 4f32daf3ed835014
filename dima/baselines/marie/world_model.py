"""The causal transformer over each agent's blocks of tokens (docs/baselines.md#marie-world-model)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dima.baselines.marie.aggregation import Aggregation
from dima.baselines.marie.rewards import RewardBins
from dima.baselines.marie.tokens import BlockLayout, action_bins
from dima.config import Compute, TokenWorldModelConfig
from dima.experience.transitions import Sequences
from dima.world_model.attention import KeyValueCache
from dima.world_model.dropout import dropout
from dima.world_model.precision import reduced_precision
from dima.world_model.reward_model import TransformerBlock, head


class Predictions(NamedTuple):
    """What the outputs of every block say, for each agent.

    Attributes:
        token_logits: of observation tokens 2 to K of the block, then of token 1 of the next.
        reward_logits: of the bins of the step's reward.
        continuation_logits: of the episode going on after the step.
    """

    token_logits: Float[Tensor, "batch time agents tokens codes"]
    reward_logits: Float[Tensor, "batch time agents bins"]
    continuation_logits: Float[Tensor, "batch time agents"]


class TokenWorldModel(nn.Module):
    """Next tokens, reward and continuation of every agent from all its tokens so far.

    Args:
        agents: N.
        action_dim: A, the number of an action's tokens.
        tokens: K, the number of an observation's tokens.
        codes: the tokenizer's codebook size.
        horizon: the most blocks in a sequence.
        config: sizes and losses.
        compute: preset of computing.
    """

    def __init__(
        self,
        agents: int,
        action_dim: int,
        tokens: int,
        codes: int,
        horizon: int,
        config: TokenWorldModelConfig,
        compute: Compute,
    ) -> None:
        super().__init__()
        self.config = config
        self.compute: Compute = compute
        self.layout = BlockLayout(tokens, action_dim)
        self.observation_embedding = nn.Embedding(codes, config.dim)
        self.action_embedding = nn.Embedding(config.action_bins, config.dim)
        self.position = nn.Parameter(torch.zeros(horizon * self.layout.length, config.dim))
        self.aggregation = Aggregation(agents, config.dim, config.aggregation)
        self.blocks = nn.ModuleList(
            TransformerBlock(config.dim, config.heads, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.token_head = head(config.dim, codes, config.token_head_layers)
        self.reward_head = head(config.dim, config.reward_bins.count)
        self.continuation_head = head(config.dim, 1)
        self.reward_bins = RewardBins(config.reward_bins)
        self._initialize()

    def _initialize(self) -> None:
        """Weights and embeddings normal, biases 0; the aggregation's latents stay standard normal."""
        linear = [layer for layer in self.modules() if isinstance(layer, nn.Linear)]
        embeddings = (self.observation_embedding.weight, self.action_embedding.weight, self.position)
        for weight in (*(layer.weight for layer in linear), *embeddings):
            nn.init.normal_(weight, std=self.config.initial_std)
        for layer in linear:
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def embed(
        self, tokens: Int[Tensor, "*batch tokens"], actions: Float[Tensor, "*batch action"]
    ) -> Float[Tensor, "*batch tokens+action dim"]:
        """Observation tokens, then the tokens of an action."""
        bins = action_bins(actions, self.config.action_bins)
        return torch.cat([self.observation_embedding(tokens), self.action_embedding(bins)], dim=-2)

    def aggregate(
        self, embedded: Float[Tensor, "batch agents tokens dim"]
    ) -> Float[Tensor, "batch agents dim"]:
        """The content of every agent's slot of one step."""
        with reduced_precision(self.compute, embedded.device):
            return self._run(self.aggregation, embedded)

    def transform(
        self,
        tokens: Float[Tensor, "rows tokens dim"],
        first: int,
        allowed: Bool[Tensor, "rows tokens keys"] | None,
        caches: Sequence[KeyValueCache] | None = None,
    ) -> Float[Tensor, "rows tokens dim"]:
        """Outputs at tokens from number `first` on; earlier ones are in `caches`, one of each layer."""
        tokens = dropout(
            tokens + self.position[first : first + tokens.shape[1]], self.config.dropout, self.training
        )
        with reduced_precision(self.compute, tokens.device):
            for number, block in enumerate(self.blocks):
                tokens = (
                    self._run(block, tokens, allowed)
                    if caches is None
                    else block(tokens, allowed, caches[number])
                )
        return self.norm(tokens)

    def _run(self, part: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        """Apply a layer; with checkpointing only its inputs are kept, and dropout repeats its draws."""
        if self.training and self.config.activation_checkpointing:
            return checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=True)
        return part(*inputs)

    def forward(
        self,
        tokens: Int[Tensor, "batch time agents tokens"],
        actions: Float[Tensor, "batch time agents action"],
        episode: Int[Tensor, "batch time"],
    ) -> Predictions:
        """Predictions at all blocks of windows; attention stays inside an `episode` of a window."""
        batch, time, agents, _ = tokens.shape
        embedded = self.embed(tokens, actions)
        slots = self.aggregate(embedded.flatten(0, 1)).unflatten(0, (batch, time))
        allowed = self.layout.allowed(episode).repeat_interleave(agents, dim=0)
        outputs = self.transform(self.layout.sequence(embedded, slots.to(embedded.dtype)), 0, allowed)
        before_tokens, at_slots = (
            part.unflatten(0, (batch, agents)).transpose(
                1, 2
            )  # from rows of one agent each to [batch, time, agents]
            for part in self.layout.predicting(outputs)
        )
        return Predictions(
            self.token_head(before_tokens),
            self.reward_head(at_slots),
            self.continuation_head(at_slots)[..., 0],
        )

    def loss(
        self, tokens: Int[Tensor, "batch time agents tokens"], sequences: Sequences
    ) -> dict[str, Float[Tensor, ""]]:
        """Cross-entropies of observation tokens, reward and continuation, means over what is predicted.

        The first token of an episode or a window cannot be predicted and is left out.
        """
        ended = sequences.terminated | sequences.truncated
        over = ended if self.config.timeout_is_termination else sequences.terminated
        episode = F.pad(ended.long().cumsum(1)[:, :-1], (1, 0))
        found = self(tokens, sequences.action, episode)
        targets = torch.cat([tokens[..., 1:], tokens[..., :1].roll(-1, dims=1)], dim=-1)
        predictable = torch.ones_like(targets, dtype=torch.bool)
        predictable[:, :-1, :, -1] = ~ended[:, :-1, None]
        predictable[:, -1, :, -1] = False
        errors = F.cross_entropy(found.token_logits.flatten(0, 3), targets.flatten(), reduction="none")
        agents = tokens.shape[2]
        reward = sequences.reward[..., None].expand(-1, -1, agents)
        goes_on = (~over)[..., None].expand(-1, -1, agents).to(found.continuation_logits.dtype)
        return {
            "tokens": (errors * predictable.flatten()).sum() / predictable.sum(),
            "reward": self.reward_bins.loss(found.reward_logits, reward),
            "continuation": F.binary_cross_entropy_with_logits(found.continuation_logits, goes_on),
        }

    def unroll(self) -> Unrolling:
        """Start rollouts at their first block."""
        return Unrolling(self)


class Unrolling:
    """A batch of rollouts as the transformer has read them; a further step costs that step's tokens alone.

    Args:
        model: in evaluation mode.
    """

    def __init__(self, model: TokenWorldModel) -> None:
        self._model = model
        self._read = 0
        self._caches = [KeyValueCache(len(model.position)) for _ in model.blocks]

    def step(
        self,
        tokens: Int[Tensor, "batch agents tokens"],
        actions: Float[Tensor, "batch agents action"],
        uniform: Float[Tensor, "batch agents tokens"],
    ) -> tuple[
        Float[Tensor, "batch agents"], Float[Tensor, "batch agents"], Int[Tensor, "batch agents tokens"]
    ]:
        """Every agent's reward, probability that the episode goes on, and next observation tokens.

        Args:
            tokens: of the present observations; from the second step on those that the last step gave.
            actions: taken now.
            uniform: numbers in [0, 1) that decide the next tokens.
        """
        model = self._model
        batch, agents, count = tokens.shape
        embedded = model.embed(tokens, actions)
        block = torch.cat(
            [embedded, model.aggregate(embedded).to(embedded.dtype)[:, :, None]], dim=2
        ).flatten(0, 1)
        unread = (
            block if self._read == 0 else block[:, count - 1 :]
        )  # all tokens but the last were read as they were sampled
        slot = self._output(unread)
        reward = model.reward_bins.expectation(model.reward_head(slot))
        continuation = model.continuation_head(slot)[:, 0].sigmoid()
        numbers = uniform.flatten(0, 1)
        sampled = [sample(model.token_head(slot), numbers[:, 0])]
        for position in range(1, count):
            output = self._output(model.observation_embedding(sampled[-1])[:, None])
            sampled.append(sample(model.token_head(output), numbers[:, position]))
        shape = (batch, agents)
        return reward.view(shape), continuation.view(shape), torch.stack(sampled, dim=1).unflatten(0, shape)

    def _output(self, tokens: Float[Tensor, "rows new dim"]) -> Float[Tensor, "rows dim"]:
        """Read further tokens; the output at the last of them."""
        rows, new, _ = tokens.shape
        allowed = None
        if new > 1:
            allowed = torch.ones(new, self._read + new, dtype=torch.bool, device=tokens.device).tril(
                diagonal=self._read
            )
            allowed = allowed.expand(rows, -1, -1)
        output = self._model.transform(tokens, self._read, allowed, self._caches)
        self._read += new
        return output[:, -1]


def sample(logits: Float[Tensor, "rows codes"], uniform: Float[Tensor, " rows"]) -> Int[Tensor, " rows"]:
    """The first class whose cumulative probability is above `uniform`."""
    cumulative = logits.softmax(dim=-1).cumsum(dim=-1)
    # rounding may leave the last sum below 1
    return (cumulative <= uniform[:, None]).sum(dim=-1).clamp(max=logits.shape[-1] - 1)
