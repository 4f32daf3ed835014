"""The parameters of HARL's methods (docs/baselines.md#mappo-and-happo, docs/baselines.md#hasac).

Names follow HARL's own YAML where it has one.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from dima.config.base import Count, Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, require
from dima.config.method import Parameters


class HarlSettings(Parameters):
    """What all of HARL's methods have, by its wheel unless a subclass says otherwise."""

    engine = "harl"
    rollout_threads: Count
    hidden_sizes: tuple[Count, ...]
    activation: Literal["relu", "tanh"]
    learning_rate: PositiveFloat
    critic_learning_rate: PositiveFloat
    linear_learning_rate_decay: bool
    huber_delta: PositiveFloat
    value_normalization: bool
    proper_time_limits: bool
    discount: Fraction
    fixed_order: bool

    @property
    def decays_over_budget(self) -> bool:
        return self.linear_learning_rate_decay


class HarlOnPolicySettings(HarlSettings):
    """HARL's on-policy methods."""

    episode_length: Count
    feature_normalization: bool
    gain: PositiveFloat
    std_x_coefficient: PositiveFloat
    std_y_coefficient: PositiveFloat
    adam_epsilon: PositiveFloat
    weight_decay: NonNegativeFloat
    ppo_epochs: Count
    critic_epochs: Count
    clip: PositiveFloat
    minibatches: Count
    entropy_coefficient: NonNegativeFloat
    value_loss_coefficient: PositiveFloat
    gradient_clip: PositiveFloat
    clipped_value_loss: bool
    gae_lambda: Fraction
    share_parameters: bool


class HarlOnPolicyParameters(HarlOnPolicySettings):
    """All parameters of MAPPO and HAPPO by the wheel of HARL."""

    algorithm: Literal["mappo", "happo"]


class HarlOffPolicySettings(HarlSettings):
    """HARL's HASAC."""

    warmup_steps: NonNegativeInt
    train_interval: Count
    updates_per_vector_step: PositiveFloat
    final_activation: Literal["relu", "tanh"]
    automatic_temperature: bool
    temperature: PositiveFloat
    temperature_learning_rate: PositiveFloat
    replay_capacity: Count
    batch_size: Count
    polyak: Fraction
    n_step: Count
    huber_loss: bool

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
    """All parameters of HASAC by the wheel of HARL."""

    algorithm: Literal["hasac"]
