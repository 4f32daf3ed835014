"""What all parts of the configuration are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Compute = Literal["reference", "fast"]
"""Preset of computing: `reference` gives the same bits every time on one device; `fast` takes bfloat16, TF32
and compiled kernels."""

PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """Base of every configuration model: immutable, no unknown key, no silent conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def require(condition: bool, message: str) -> None:
    """Refuse, with `message`, a configuration that contradicts itself. Raises ValueError."""
    if not condition:
        raise ValueError(message)


class OptimizerConfig(Strict):
    """An optimiser with a bound on the global gradient norm."""

    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    gradient_clip: PositiveFloat


class AdamWConfig(OptimizerConfig):
    """AdamW, and what it decays."""

    decayed: Literal["weights", "all"] = Field(
        description="weights of linear and convolution layers alone, or every parameter"
    )


class CollectionConfig(Strict):
    """When an epoch has collected enough (docs/method.md#epochs)."""

    epoch_trigger: Literal["episode_end", "fixed_steps"]
    min_new_steps: Count
    warmup_steps: Count
    warmup_policy: Literal["actor", "random"]
