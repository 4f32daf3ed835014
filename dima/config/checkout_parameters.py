"""The parameters of the programs of a user's own checkout of HARL or MARIE (docs/baselines.md#checkouts)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from dima.config.base import Fraction, PositiveFloat, require
from dima.config.harl_parameters import HarlOffPolicySettings, HarlOnPolicySettings
from dima.config.method import Parameters
from dima.config.task import TaskConfig

MARIE_EPISODES = 10
"""The episodes of each evaluation by MARIE's own program."""


def _text(value: Any) -> Any:
    """YAML has numbers such as 1234567 and 82556e0, which may be the beginning of a hash."""
    require(not isinstance(value, int | float), f"it needs quotes: YAML reads {value} as a number")
    return value


Commit = Annotated[
    str,
    BeforeValidator(_text),
    Field(
        pattern=r"^[0-9a-f]{7,40}$", description="that the checkout must be at: at least 7 digits of its hash"
    ),
]


class CheckoutParameters(Parameters):
    """The program of a checkout, which has its own tasks and its own evaluation."""

    engine = "checkout"
    commit: Commit

    def check(self, task: TaskConfig) -> None:
        require(
            (task.preset, task.simulator) == ("paper", "mujoco"),
            f"a checkout runs its own {task.name}: preset must be paper and simulator mujoco, "
            f"not {task.preset} and {task.simulator}",
        )


class HarlOnPolicyCheckoutParameters(CheckoutParameters, HarlOnPolicySettings):
    """HARL's on-policy methods by a checkout's own program."""

    algorithm: Literal["mappo-checkout", "happo-checkout"]


class HarlOffPolicyCheckoutParameters(CheckoutParameters, HarlOffPolicySettings):
    """HARL's HASAC by a checkout's own program."""

    algorithm: Literal["hasac-checkout"]

    def check(self, task: TaskConfig) -> None:
        super().check(task)
        require(
            task.env_steps > self.warmup_steps,
            f"env_steps must be above warmup_steps ({self.warmup_steps}): HARL evaluates nothing before",
        )


class MarieCheckoutParameters(CheckoutParameters):
    """The options of MARIE's own command; everything else is in its code."""

    algorithm: Literal["marie-checkout"]
    tokenizer: Literal["vq"]
    decay: Fraction
    temperature: PositiveFloat
    sample_temp: Literal["inf"] | PositiveFloat
    ce_for_r: bool

    def check(self, task: TaskConfig) -> None:
        super().check(task)
        episodes = task.evaluation.episodes
        require(
            episodes == MARIE_EPISODES,
            f"evaluation.episodes must be {MARIE_EPISODES}, as MARIE plays them, not {episodes}",
        )


HarlCheckoutParameters = HarlOnPolicyCheckoutParameters | HarlOffPolicyCheckoutParameters
