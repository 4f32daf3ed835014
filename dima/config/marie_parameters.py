"""The parameters of the native MARIE learner (docs/baselines.md#marie)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dima.config.base import (
    AdamWConfig,
    CollectionConfig,
    Count,
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    Strict,
    require,
)
from dima.config.method import NativeParameters

Dropout = Annotated[float, Field(ge=0, lt=1)]


class TokenizerConfig(Strict):
    """The vector-quantised autoencoder of one agent's observation."""

    tokens: Count
    codebook_size: Annotated[int, Field(ge=2)]
    codebook_dim: Count
    codebook_decay: Fraction
    commitment_coefficient: PositiveFloat
    hidden: Count
    optimizer: AdamWConfig
    batch_size: Count = Field(description="time steps; each gives the observations of all agents")
    updates_per_epoch: Count


class AggregationConfig(Strict):
    """The Perceiver through which agents see one another."""

    layers: Count = Field(description="of self-attention among the latents, after the one cross-attention")
    heads: Count
    head_dim: Count
    feed_forward_multiplier: Count
    attention_bias: bool = Field(description="of queries, keys and values")
    dropout: Dropout


class RewardBinsConfig(Strict):
    """The bins over symlog rewards that the reward is classified into (HL-Gauss)."""

    count: Annotated[int, Field(ge=2)]
    bound: PositiveFloat = Field(description="the bins cover symlog rewards from -bound to bound")
    sigma: PositiveFloat = Field(description="standard deviation of a target, in widths of a bin")


class TokenWorldModelConfig(Strict):
    """The causal transformer over every agent's blocks of tokens."""

    dim: Annotated[int, Field(ge=2, multiple_of=2)]
    layers: Count
    heads: Count
    dropout: Dropout
    initial_std: PositiveFloat = Field(
        description="of weights and embeddings; narrow models need more to learn what the slots tell"
    )
    action_bins: Annotated[int, Field(ge=2)]
    aggregation: AggregationConfig
    token_head_layers: Count = Field(
        description="linear layers between an output and the logits of the next token"
    )
    reward_bins: RewardBinsConfig
    timeout_is_termination: bool
    activation_checkpointing: bool = Field(
        description="keep only the inputs of each layer for the backward pass, and compute it again"
    )
    optimizer: AdamWConfig
    batch_size: Count = Field(description="windows of the horizon's length, each of all agents")
    updates_per_epoch: Count

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> TokenWorldModelConfig:
        require(self.dim % self.heads == 0, f"dim must be a multiple of heads ({self.heads})")
        return self


class MarieBehaviorConfig(Strict):
    """Imagination and the multi-agent PPO trained inside it."""

    horizon: Annotated[int, Field(ge=2)] = Field(
        description="imagined states; also the blocks that the world model's context holds"
    )
    rollouts: Count
    rollout_chunk: Count = Field(
        description="rollouts imagined at once: what bounds the memory for keys and values"
    )
    policy_updates_per_epoch: Count
    discount: Fraction
    return_lambda: Fraction
    actor_hidden: Annotated[tuple[Count, ...], Field(min_length=1)]
    critic_dim: Annotated[int, Field(ge=2, multiple_of=2)]
    critic_heads: Count
    critic_feed_forward: Count
    critic_agent_code: bool = Field(
        description="add a fixed code of the agent's number before the attention over the agents"
    )
    critic_hidden: Annotated[tuple[Count, ...], Field(min_length=1)]
    critic_layer_norm: bool = Field(
        description="on the input of the last perceptron and after each of its hidden layers"
    )
    huber_delta: PositiveFloat
    ppo_epochs: Count
    clip: PositiveFloat
    entropy_coefficient: NonNegativeFloat
    learning_rate: PositiveFloat
    adam_epsilon: PositiveFloat
    gradient_clip: PositiveFloat

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> MarieBehaviorConfig:
        require(
            self.critic_dim % self.critic_heads == 0,
            f"critic_dim must be a multiple of critic_heads ({self.critic_heads})",
        )
        return self


class MarieScheduleConfig(CollectionConfig):
    """When data is collected and from which epoch each part is trained; the tokenizer is from the first."""

    first_world_model_epoch: Count
    first_policy_epoch: Count


class MarieParameters(NativeParameters):
    """All parameters of the native MARIE learner."""

    imagines = "observations"
    algorithm: Literal["marie"]
    replay_capacity: Count
    tokenizer: TokenizerConfig
    world_model: TokenWorldModelConfig
    behavior: MarieBehaviorConfig
    schedule: MarieScheduleConfig

    @model_validator(mode="after")
    def _the_replay_memory_suits(self) -> MarieParameters:
        warmup, horizon = self.schedule.warmup_steps, self.behavior.horizon
        require(warmup >= horizon, f"schedule.warmup_steps must be at least behavior.horizon ({horizon})")
        require(
            self.replay_capacity >= warmup,
            f"replay_capacity must be at least schedule.warmup_steps ({warmup})",
        )
        return self
