"""What a cell may be told: frozen pydantic models, one file per method.

Unknown keys and wrong types are refused with their path.

The values live in `workflow/config/methods/*.yaml` and `workflow/config/tasks/*.yaml`, each with its source
beside it. The models carry no defaults, so that every number of a run can be read in one file.
"""

from dima.config.base import (
    AdamWConfig,
    CollectionConfig,
    Compute,
    NonNegativeInt,
    OptimizerConfig,
    Strict,
)
from dima.config.cell import CellConfig
from dima.config.checkout_parameters import (
    MARIE_EPISODES,
    HarlCheckoutParameters,
    HarlOffPolicyCheckoutParameters,
    HarlOnPolicyCheckoutParameters,
    MarieCheckoutParameters,
)
from dima.config.dima_parameters import (
    GROUP_CHANNELS,
    ActionEncoderConfig,
    BehaviorConfig,
    DenoiserConfig,
    DimaParameters,
    ReplayConfig,
    RewardModelConfig,
    SamplerConfig,
    ScheduleConfig,
    StateDecoderConfig,
)
from dima.config.harl_parameters import (
    HarlOffPolicyParameters,
    HarlOffPolicySettings,
    HarlOnPolicyParameters,
    HarlOnPolicySettings,
)
from dima.config.mamba_parameters import (
    AgentAttentionConfig,
    MambaBehaviorConfig,
    MambaModelConfig,
    MambaParameters,
)
from dima.config.marie_parameters import (
    AggregationConfig,
    MarieBehaviorConfig,
    MarieParameters,
    MarieScheduleConfig,
    RewardBinsConfig,
    TokenizerConfig,
    TokenWorldModelConfig,
)
from dima.config.older import OLDER_METHOD, older_method
from dima.config.task import EvaluationConfig, TaskConfig

__all__ = [
    "GROUP_CHANNELS",
    "MARIE_EPISODES",
    "OLDER_METHOD",
    "ActionEncoderConfig",
    "AdamWConfig",
    "AgentAttentionConfig",
    "AggregationConfig",
    "BehaviorConfig",
    "CellConfig",
    "CollectionConfig",
    "Compute",
    "DenoiserConfig",
    "DimaParameters",
    "EvaluationConfig",
    "HarlCheckoutParameters",
    "HarlOffPolicyCheckoutParameters",
    "HarlOffPolicyParameters",
    "HarlOffPolicySettings",
    "HarlOnPolicyCheckoutParameters",
    "HarlOnPolicyParameters",
    "HarlOnPolicySettings",
    "MambaBehaviorConfig",
    "MambaModelConfig",
    "MambaParameters",
    "MarieBehaviorConfig",
    "MarieCheckoutParameters",
    "MarieParameters",
    "MarieScheduleConfig",
    "NonNegativeInt",
    "OptimizerConfig",
    "ReplayConfig",
    "RewardBinsConfig",
    "RewardModelConfig",
    "SamplerConfig",
    "ScheduleConfig",
    "StateDecoderConfig",
    "Strict",
    "TaskConfig",
    "TokenWorldModelConfig",
    "TokenizerConfig",
    "older_method",
]
