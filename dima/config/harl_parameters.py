"""What HARL's methods are told."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from dima.config.base import Count, Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, Strict, require


class HarlOnPolicySettings(Strict):
    """HARL's on-policy methods (docs/baselines.md#mappo-and-happo).

    Names follow HARL's own YAML where it has one.
    """

    rollout_threads: Count
    episode_length: Count
    hidden_sizes: tuple[Count, ...]
    activation: Literal["relu", "tanh"]
    feature_normalization: bool
    gain: PositiveFloat
    std_x_coefficient: PositiveFloat
    std_y_coefficient: PositiveFloat
    learning_rate: PositiveFloat
    critic_learning_rate: PositiveFloat
    adam_epsilon: PositiveFloat
    weight_decay: NonNegativeFloat
    linear_learning_rate_decay: bool
    ppo_epochs: Count
    critic_epochs: Count
    clip: PositiveFloat
    minibatches: Count
    entropy_coefficient: NonNegativeFloat
    value_loss_coefficient: PositiveFloat
    gradient_clip: PositiveFloat
    huber_delta: PositiveFloat
    clipped_value_loss: bool
    value_normalization: bool
    proper_time_limits: bool
    discount: Fraction
    gae_lambda: Fraction
    share_parameters: bool
    fixed_order: bool


class HarlOnPolicyParameters(HarlOnPolicySettings):
    """Everything MAPPO and HAPPO by the wheel of HARL are told."""

    algorithm: Literal["mappo", "happo"]


class HarlOffPolicySettings(Strict):
    """HARL's HASAC (docs/baselines.md#hasac)."""

    rollout_threads: Count
    warmup_steps: NonNegativeInt
    train_interval: Count
    updates_per_vector_step: PositiveFloat
    hidden_sizes: tuple[Count, ...]
    activation: Literal["relu", "tanh"]
    final_activation: Literal["relu", "tanh"]
    learning_rate: PositiveFloat
    critic_learning_rate: PositiveFloat
    linear_learning_rate_decay: bool
    automatic_temperature: bool
    temperature: PositiveFloat
    temperature_learning_rate: PositiveFloat
    discount: Fraction
    replay_capacity: Count
    batch_size: Count
    polyak: Fraction
    n_step: Count
    huber_loss: bool
    huber_delta: PositiveFloat
    value_normalization: bool
    proper_time_limits: bool
    fixed_order: bool

    @model_validator(mode="after")
    def _vector_steps_are_whole(self) -> HarlOffPolicySettings:
        threads = self.rollout_threads
        for name in ("warmup_steps", "replay_capacity"):
            require(
                getattr(self, name) % threads == 0,
                f"{name} must be a multiple of rollout_threads ({threads})",
            )
        first = self.warmup_steps + self.train_interval * threads
        message = f"batch_size must be at most the {first} transitions that are stored when learning begins"
        require(self.batch_size <= min(first, self.replay_capacity), message)
        require(
            self.replay_capacity >= self.warmup_steps,
            f"replay_capacity must be at least warmup_steps ({self.warmup_steps})",
        )
        return self


class HarlOffPolicyParameters(HarlOffPolicySettings):
    """Everything HASAC by the wheel of HARL is told."""

    algorithm: Literal["hasac"]
