"""The transformer that scores reward and termination (eq. 23), over the whole prefix at every step."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from jaxtyping import Bool, Float
from torch import Tensor, nn

from benchmarks.reference.layers import EVERY, action_tokens, dropped, gated_block, mlp, self_attention
from dima.experience.transitions import Segments
from dima.world_model.reward_model import JointActionToken, RewardModel, TransformerBlock


def score(
    model: RewardModel,
    states: Float[Tensor, "batch time state"],
    actions: Float[Tensor, "batch time agents action"],
    episode: Tensor | None = None,
    dropout: float = 0.0,
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time logits"]]:
    """Rewards and termination logits after each step of s_1, a_1, s_2, a_2, ...

    Args:
        model: the weights.
        states: z-scored.
        actions: taken in them.
        episode: number of the episode of each step [batch, time]; None: all of one.
        dropout: in training.
    """
    time = states.shape[1]
    numbers = torch.zeros(states.shape[:2]) if episode is None else episode
    visible = causal_within_episodes(torch.stack([numbers, numbers], dim=2).flatten(1))
    pairs = torch.stack(
        [state_token(model.state_token, states), joint_action_token(model.action_token, actions)], dim=2
    )
    tokens = dropped(pairs.flatten(1, 2) + model.position[: 2 * time], dropout)
    *first, last = model.blocks
    for block in first:
        tokens = transformer_block(block, tokens, visible, dropout)  # type: ignore[arg-type] - a list of TransformerBlocks
    actions_alone = slice(1, None, 2)
    tokens = transformer_block(last, tokens, visible, dropout, actions_alone)  # type: ignore[arg-type]
    outputs = model.norm(tokens)[:, actions_alone]
    return mlp(model.reward_head, outputs, F.relu)[:, :, 0], mlp(model.termination_head, outputs, F.relu)


def causal_within_episodes(episode: Tensor) -> Bool[Tensor, "batch tokens tokens"]:
    """Token i sees token j where j <= i and both are of one episode."""
    index = torch.arange(episode.shape[1])
    return (index[None, None, :] <= index[None, :, None]) & (episode[:, None, :] == episode[:, :, None])


def state_token(
    layers: nn.Sequential, states: Float[Tensor, "batch time state"]
) -> Float[Tensor, "batch time dim"]:
    """Linear, LN, SiLU, Linear, LN, SiLU, Linear."""
    first, first_norm, _, second, second_norm, _, last = layers
    hidden = F.silu(first_norm(first(states)))
    return last(F.silu(second_norm(second(hidden))))


def joint_action_token(
    layer: JointActionToken, actions: Float[Tensor, "batch time agents action"]
) -> Float[Tensor, "batch time dim"]:
    """Attention over the agents of one step, their mean, LN, Linear."""
    tokens = action_tokens(layer.tokens, actions.flatten(0, 1))
    for block in layer.blocks:
        tokens = gated_block(block, tokens)  # type: ignore[arg-type] - a Sequential of GatedBlocks
    norm, linear = layer.output
    return linear(norm(tokens.mean(dim=1))).unflatten(0, actions.shape[:2])


def transformer_block(
    block: TransformerBlock,
    tokens: Float[Tensor, "batch time dim"],
    visible: Bool[Tensor, "batch time time"],
    dropout: float,
    read: slice = EVERY,
) -> Float[Tensor, "batch time dim"]:
    """x + Attention(LN x), then x + MLP(LN x) with a GELU; dropout after each, of the tokens to `read`."""
    tokens = tokens + self_attention(block.attention, block.attention_norm(tokens), visible, dropout, read)
    hidden = mlp(block.feed_forward, block.feed_forward_norm(tokens), F.gelu)
    return tokens + dropped(hidden, dropout, read)


def reward_model_loss(
    model: RewardModel, states: Float[Tensor, "batch time state"], segments: Segments
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Smooth L1 of the reward and cross-entropy of the end, each the mean over all steps.

    A segment may span several episodes.
    """
    ended = segments.terminated | segments.truncated
    episode = torch.cat([torch.zeros(len(states), 1), ended[:, :-1].float().cumsum(dim=1)], dim=1)
    reward, logits = score(model, states, segments.action, episode, model.config.dropout)
    error = (reward - segments.reward).abs()
    reward_loss = torch.where(error < 1, error**2 / 2, error - 0.5).mean()
    end = (ended if model.config.timeout_is_termination else segments.terminated).to(logits.dtype)
    if model.config.termination == "categorical":
        log_probability = logits.log_softmax(dim=-1)
        return reward_loss, -(end * log_probability[..., 1] + (1 - end) * log_probability[..., 0]).mean()
    goes_on = logits[..., 0]
    return reward_loss, -((1 - end) * F.logsigmoid(goes_on) + end * F.logsigmoid(-goes_on)).mean()


def continuation(
    model: RewardModel, logits: Float[Tensor, "batch logits"], uniform: Float[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """The probability that the episode goes on; 1 or 0 with `categorical`, where `uniform` decides."""
    if model.config.termination == "bernoulli":
        return logits[:, 0].sigmoid()
    return (uniform >= logits.softmax(dim=-1)[:, 1]).to(logits.dtype)
