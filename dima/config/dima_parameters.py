"""The parameters of the native DIMA learner."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dima.config.base import (
    AdamWConfig,
    CollectionConfig,
    Count,
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    Strict,
    require,
)
from dima.config.method import NativeParameters
from dima.config.task import TaskConfig

GROUP_CHANNELS = 32
"""Channels normalised together in the denoiser."""


class ReplayConfig(Strict):
    """The replay memory and its two sampling views (docs/method.md#replay-memory)."""

    capacity: Count
    visit_temperature: PositiveFloat | None = Field(
        description="weights exp(-visits/temperature); null: 1 - visits/sum of visits"
    )
    window_sampling: Literal["recency", "uniform"]
    recency_weights: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat, NonNegativeFloat]
    recency_remainder: Literal["newest", "spread"] = Field(
        description="where the n mod 4 episodes that are left go: all to the newest quarter, or one each to some"
    )

    @classmethod
    def by_visits(cls, capacity: int) -> ReplayConfig:
        """A memory that is sampled by visits alone, with the weights 1 - visits / all visits, or
        uniformly.
        """
        return cls(
            capacity=capacity,
            visit_temperature=None,
            window_sampling="uniform",
            recency_weights=(1.0, 1.0, 1.0, 1.0),
            recency_remainder="spread",
        )


class StateDecoderConfig(Strict):
    """Global state to all local observations through a discrete bottleneck (Table 3, eq. 22)."""

    hidden: Count
    tokens: Count
    quantizer: Literal["fsq", "vq"]
    levels: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)]
    codebook_size: Count
    codebook_dim: Count
    codebook_decay: Fraction
    rotation_trick: bool = Field(
        description="how gradients pass the codebook: turned with the code, or straight through"
    )
    loss: Literal["l1", "l2"]
    optimizer: AdamWConfig
    batch_size: Count
    updates_per_epoch: Count


class ActionEncoderConfig(Strict):
    """The masked Perceiver over (time, agent) action tokens (docs/method.md#action-conditioning), or a small
    set encoder (option O4).

    The set encoder reads `token_dim`, `depth`, `heads`, `head_dim`, `feed_forward_multiplier` and
    `attention_bias`.
    """

    kind: Literal["perceiver", "set"]
    token_dim: Count
    latents: Count
    latent_dim: Count
    depth: NonNegativeInt
    cross_heads: Count
    cross_head_dim: Count
    heads: Count
    head_dim: Count
    feed_forward_multiplier: Count
    attention_bias: bool = Field(description="of queries, keys and values")


class DenoiserConfig(Strict):
    """The conditional denoiser and its EDM training (eq. 9, 10, 14-18), or a deterministic model in its place
    (experiment X2).
    """

    dynamics: Literal["diffusion", "deterministic"]
    deterministic_hidden: Count
    conditioning: Literal["sequential", "joint", "cumulative"] = Field(
        description="whose actions a denoising step sees: one agent's (eq. 9), all, or those of all agents revealed so far (option O1)"
    )
    conditioning_states: Annotated[int, Field(ge=2)]
    channels: Annotated[tuple[Count, ...], Field(min_length=1)]
    blocks: tuple[Count, ...]
    condition_dim: Annotated[int, Field(ge=2, multiple_of=2)]
    action_encoder: ActionEncoderConfig
    sigma_data: PositiveFloat
    sigma_offset_noise: NonNegativeFloat
    noise_mean: float
    noise_std: PositiveFloat
    noise_min: PositiveFloat
    noise_max: PositiveFloat
    autoregressive_steps: Count
    constant_components: Literal["predicted", "kept"] = Field(
        default="predicted",
        exclude_if=lambda value: (
            value == "predicted"
        ),  # so that configurations from before this choice keep their digests
        description="components of the state that have never varied: predicted like the others, or kept and left out of the loss",
    )
    optimizer: AdamWConfig
    learning_rate_warmup_updates: NonNegativeInt
    batch_size: Count
    updates_per_epoch: Count

    @model_validator(mode="after")
    def _sizes_fit(self) -> DenoiserConfig:
        levels = len(self.channels)
        require(len(self.blocks) == levels, "channels and blocks must have one entry for each level")
        scale = 2 ** (levels - 1)
        require(
            (self.conditioning_states + 1) % scale == 0,
            f"conditioning_states + 1 must be a multiple of {scale} for {levels} levels",
        )
        require(
            max(self.channels) <= GROUP_CHANNELS
            or all(width % GROUP_CHANNELS == 0 for width in self.channels),
            f"channels must be multiples of {GROUP_CHANNELS}, the size of a normalised group, or none above it",
        )
        require(self.noise_min < self.noise_max, "noise_min must be below noise_max")
        fits = self.dynamics == "diffusion" or self.constant_components == "predicted"
        require(fits, "constant_components must be predicted where dynamics is deterministic")
        return self


class SamplerConfig(Strict):
    """Euler sampling of the next state, one agent's action a step (docs/method.md#sampling)."""

    steps: Count | Literal["paper"] = Field(description="'paper': 2N for N <= 2 agents, else N (Table 4)")
    order: (
        Literal["descending", "ascending", "random"] | Annotated[tuple[Count, ...], Field(min_length=1)]
    ) = Field(description="a list names agents from 1, as the paper does")
    sigma_min: PositiveFloat
    sigma_max: PositiveFloat
    rho: PositiveFloat
    initial_noise: Literal["scaled", "unscaled"]

    @model_validator(mode="after")
    def _noise_falls(self) -> SamplerConfig:
        require(self.sigma_min < self.sigma_max, "sigma_min must be below sigma_max")
        return self

    def steps_for(self, agents: int) -> int:
        """K: twice the number of agents for up to two agents, else their number (Table 4), unless `steps`
        says otherwise.

        Raises:
            ValueError: K does not fit the order.
        """
        steps = self.steps if self.steps != "paper" else (2 * agents if agents <= 2 else agents)
        if isinstance(self.order, tuple):
            fits = len(self.order) == steps and set(self.order) <= set(range(1, agents + 1))
            require(
                fits,
                f"sampler.order must name one of the agents 1 to {agents} for each of the {steps} steps, not {list(self.order)}",
            )
        else:
            message = f"sampler.steps = {steps} is no multiple of {agents} agents: give sampler.order as a list of {steps} agents"
            require(steps % agents == 0, message)
        return steps


class RewardModelConfig(Strict):
    """The causal transformer that scores reward and termination (Table 3, eq. 23)."""

    dim: Count
    layers: Count
    heads: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    action_layers: Count
    action_heads: Count
    action_head_dim: Count
    feed_forward_multiplier: Count
    action_attention_bias: bool = Field(
        description="of queries, keys and values of the attention over the agents' actions"
    )
    termination: Literal["bernoulli", "categorical"]
    timeout_is_termination: bool
    optimizer: AdamWConfig
    optimizer_steps_per_batch: Count
    batch_size: Count
    updates_per_epoch: Count

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> RewardModelConfig:
        require(self.dim % self.heads == 0, f"dim must be a multiple of heads ({self.heads})")
        return self


class BehaviorConfig(Strict):
    """Imagination and the multi-agent PPO trained inside it (eq. 19-21)."""

    horizon: Count
    rollouts: Count
    policy_updates_per_epoch: Count
    start_observation: Literal["reconstruction", "real"]
    discount: Fraction
    return_lambda: Fraction
    lambda_return: Literal["exact", "release"]
    actor_hidden: Annotated[tuple[Count, ...], Field(min_length=1)]
    critic_hidden: Annotated[tuple[Count, ...], Field(min_length=1)]
    critic_input: Literal["state_and_last_action", "state"]
    critic_loss: Literal["normalized_huber", "mse"]
    huber_delta: PositiveFloat
    ppo_epochs: Count
    clip: PositiveFloat
    entropy_coefficient: NonNegativeFloat
    actor_learning_rate: PositiveFloat
    critic_learning_rate: PositiveFloat
    adam_epsilon: PositiveFloat
    gradient_clip: PositiveFloat


class ScheduleConfig(CollectionConfig):
    """When data is collected and what is trained (docs/method.md#algorithm-1, docs/method.md#epochs)."""

    first_policy_epoch: Count
    first_epoch_update_factor: Count


class DimaParameters(NativeParameters):
    """All parameters of the native DIMA learner."""

    imagines = "states"
    algorithm: Literal["dima"]
    replay: ReplayConfig
    state_decoder: StateDecoderConfig
    denoiser: DenoiserConfig
    sampler: SamplerConfig
    reward_model: RewardModelConfig
    behavior: BehaviorConfig
    schedule: ScheduleConfig

    @model_validator(mode="after")
    def _the_replay_memory_suits(self) -> DimaParameters:
        warmup, horizon = self.schedule.warmup_steps, self.behavior.horizon
        require(warmup >= horizon, f"schedule.warmup_steps must be at least behavior.horizon ({horizon})")
        require(
            self.replay.capacity >= warmup,
            f"replay.capacity must be at least schedule.warmup_steps ({warmup})",
        )
        return self

    def check(self, task: TaskConfig) -> None:
        self.sampler.steps_for(task.agents)
