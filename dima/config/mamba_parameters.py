"""What the native MAMBA learner is told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dima.config.base import (
    CollectionConfig,
    Count,
    Fraction,
    NonNegativeFloat,
    OptimizerConfig,
    PositiveFloat,
    Strict,
    require,
)
from dima.config.method import NativeParameters


class AgentAttentionConfig(Strict):
    """A post-norm transformer encoder over the agents (docs/baselines.md#mamba-world-model)."""

    layers: Count
    heads: Count
    feed_forward: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]


class MambaModelConfig(Strict):
    """The recurrent world model of discrete latent states, and its training
    (docs/baselines.md#mamba-losses).
    """

    hidden: Annotated[int, Field(ge=2, multiple_of=2)]
    embedding: Count
    recurrent: Count
    categoricals: Count
    classes: Annotated[int, Field(ge=2)]
    attention: AgentAttentionConfig
    prior_kl_weight: Fraction = Field(
        description="of KL(sg posterior || prior); the rest is the weight of KL(posterior || sg prior)"
    )
    sequence_length: Annotated[int, Field(ge=3)]
    batch_size: Count
    updates_per_epoch: Count
    optimizer: OptimizerConfig

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> MambaModelConfig:
        require(
            self.hidden % self.attention.heads == 0,
            f"hidden must be a multiple of attention.heads ({self.attention.heads})",
        )
        return self

    @property
    def stochastic(self) -> int:
        """Size of the one-hot latent state of one agent."""
        return self.categoricals * self.classes

    @property
    def feature(self) -> int:
        """Size of what actor, critic and heads see of one agent."""
        return self.stochastic + self.recurrent


class MambaBehaviorConfig(Strict):
    """Imagination and the multi-agent PPO trained inside it (docs/baselines.md#mamba-behaviour)."""

    horizon: Annotated[int, Field(ge=2)] = Field(
        description="latent states of a rollout; the last one's action is dropped"
    )
    policy_updates_per_epoch: Count
    discount: Fraction
    return_lambda: Fraction
    actor_hidden: Annotated[tuple[Count, ...], Field(min_length=1)]
    critic_hidden: Annotated[int, Field(ge=2, multiple_of=2)]
    critic_attention: AgentAttentionConfig
    ppo_epochs: Count
    minibatch_size: Count
    clip: PositiveFloat
    entropy_coefficient: NonNegativeFloat
    entropy_decay: Fraction = Field(
        description="factor of the entropy coefficient after each update of the actor"
    )
    actor_optimizer: OptimizerConfig
    critic_optimizer: OptimizerConfig

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> MambaBehaviorConfig:
        heads = self.critic_attention.heads
        require(
            self.critic_hidden % heads == 0,
            f"critic_hidden must be a multiple of critic_attention.heads ({heads})",
        )
        return self


class MambaParameters(NativeParameters):
    """All parameters of the native MAMBA learner."""

    imagines = "observations"
    algorithm: Literal["mamba"]
    replay_capacity: Count
    reward_scale: PositiveFloat = Field(description="factor of the rewards that the world model learns")
    model: MambaModelConfig
    behavior: MambaBehaviorConfig
    schedule: CollectionConfig

    @model_validator(mode="after")
    def _the_replay_memory_suits(self) -> MambaParameters:
        warmup, length = self.schedule.warmup_steps, self.model.sequence_length
        require(warmup >= length, f"schedule.warmup_steps must be at least model.sequence_length ({length})")
        require(
            self.replay_capacity >= warmup,
            f"replay_capacity must be at least schedule.warmup_steps ({warmup})",
        )
        return self
