"""What HARL's methods are told."""

from __future__ import annotations

from typing import Literal

from dima.config.base import Count, Fraction, NonNegativeFloat, PositiveFloat, Strict


class HarlOnPolicyParameters(Strict):
    """HARL's on-policy methods (baselines.md 2.1-2.3); names follow HARL's own YAML where it has one."""

    algorithm: Literal["mappo"]
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
