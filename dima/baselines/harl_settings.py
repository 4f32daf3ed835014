"""A cell's parameters under HARL's names."""

from __future__ import annotations

from typing import Any

from dima.config import HarlOffPolicySettings, HarlOnPolicySettings

HarlSettings = dict[str, dict[str, Any]]
"""HARL's `algo_args`: the sections `train`, `model` and `algo` of its YAML."""


def on_policy_settings(parameters: HarlOnPolicySettings) -> HarlSettings:
    """The sections of HARL's YAML that a training run reads; fixed values are HARL's defaults."""
    return {"train": _train(parameters), "model": _model(parameters), "algo": _algo(parameters)}


def _train(parameters: HarlOnPolicySettings) -> dict[str, Any]:
    return {
        "n_rollout_threads": parameters.rollout_threads,
        "episode_length": parameters.episode_length,
        "use_valuenorm": parameters.value_normalization,
        "use_linear_lr_decay": parameters.linear_learning_rate_decay,
        "use_proper_time_limits": parameters.proper_time_limits,
    }


def _model(parameters: HarlOnPolicySettings) -> dict[str, Any]:
    return {
        "hidden_sizes": list(parameters.hidden_sizes),
        "activation_func": parameters.activation,
        "use_feature_normalization": parameters.feature_normalization,
        "initialization_method": "orthogonal_",
        "gain": parameters.gain,
        "use_naive_recurrent_policy": False,
        "use_recurrent_policy": False,
        "recurrent_n": 1,
        "data_chunk_length": 10,
        "lr": parameters.learning_rate,
        "critic_lr": parameters.critic_learning_rate,
        "opti_eps": parameters.adam_epsilon,
        "weight_decay": parameters.weight_decay,
        "std_x_coef": parameters.std_x_coefficient,
        "std_y_coef": parameters.std_y_coefficient,
    }


def _algo(parameters: HarlOnPolicySettings) -> dict[str, Any]:
    return {
        "ppo_epoch": parameters.ppo_epochs,
        "critic_epoch": parameters.critic_epochs,
        "use_clipped_value_loss": parameters.clipped_value_loss,
        "clip_param": parameters.clip,
        "actor_num_mini_batch": parameters.minibatches,
        "critic_num_mini_batch": parameters.minibatches,
        "entropy_coef": parameters.entropy_coefficient,
        "value_loss_coef": parameters.value_loss_coefficient,
        "use_max_grad_norm": True,
        "max_grad_norm": parameters.gradient_clip,
        "use_gae": True,
        "gamma": parameters.discount,
        "gae_lambda": parameters.gae_lambda,
        "use_huber_loss": True,
        "use_policy_active_masks": True,
        "huber_delta": parameters.huber_delta,
        "action_aggregation": "prod",
        "share_param": parameters.share_parameters,
        "fixed_order": parameters.fixed_order,
    }


def off_policy_settings(parameters: HarlOffPolicySettings) -> HarlSettings:
    """The sections of HARL's YAML that HASAC reads; fixed values are HARL's defaults."""
    return {
        "train": {
            "n_rollout_threads": parameters.rollout_threads,
            "warmup_steps": parameters.warmup_steps,
            "train_interval": parameters.train_interval,
            "update_per_train": parameters.updates_per_vector_step,
            "use_valuenorm": parameters.value_normalization,
            "use_linear_lr_decay": parameters.linear_learning_rate_decay,
            "use_proper_time_limits": parameters.proper_time_limits,
        },
        "model": {
            "hidden_sizes": list(parameters.hidden_sizes),
            "activation_func": parameters.activation,
            "final_activation_func": parameters.final_activation,
            "use_feature_normalization": True,  # HASAC's networks do not read these three
            "initialization_method": "orthogonal_",
            "gain": 0.01,
            "lr": parameters.learning_rate,
            "critic_lr": parameters.critic_learning_rate,
        },
        "algo": {
            "auto_alpha": parameters.automatic_temperature,
            "alpha": parameters.temperature,
            "alpha_lr": parameters.temperature_learning_rate,
            "gamma": parameters.discount,
            "buffer_size": parameters.replay_capacity,
            "batch_size": parameters.batch_size,
            "polyak": parameters.polyak,
            "n_step": parameters.n_step,
            "use_huber_loss": parameters.huber_loss,
            "use_policy_active_masks": True,
            "huber_delta": parameters.huber_delta,
            "share_param": False,
            "fixed_order": parameters.fixed_order,
        },
    }
