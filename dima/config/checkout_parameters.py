"""What is told to the program of a user's own checkout of HARL or MARIE."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from dima.config.base import Fraction, PositiveFloat, Strict, require
from dima.config.harl_parameters import HarlOffPolicySettings, HarlOnPolicySettings


def _text(value: Any) -> Any:
    """YAML has numbers such as 1234567 and 82556e0, which may be the beginning of a hash."""
    require(not isinstance(value, int | float), f"it must stand in quotes: YAML reads {value} as a number")
    return value


Commit = Annotated[
    str,
    BeforeValidator(_text),
    Field(
        pattern=r"^[0-9a-f]{7,40}$", description="that the checkout must be at: at least 7 digits of its hash"
    ),
]


class HarlOnPolicyCheckoutParameters(HarlOnPolicySettings):
    """HARL's on-policy methods by a checkout's own program."""

    algorithm: Literal["mappo-checkout", "happo-checkout"]
    commit: Commit


class HarlOffPolicyCheckoutParameters(HarlOffPolicySettings):
    """HARL's HASAC by a checkout's own program."""

    algorithm: Literal["hasac-checkout"]
    commit: Commit


class MarieCheckoutParameters(Strict):
    """The options of MARIE's own command (docs/baselines.md#checkouts); everything else is in its code."""

    algorithm: Literal["marie-checkout"]
    commit: Commit
    tokenizer: Literal["vq"]
    decay: Fraction
    temperature: PositiveFloat
    sample_temp: Literal["inf"] | PositiveFloat
    ce_for_r: bool


HarlCheckoutParameters = HarlOnPolicyCheckoutParameters | HarlOffPolicyCheckoutParameters
CheckoutParameters = HarlCheckoutParameters | MarieCheckoutParameters
