"""The configuration of one cell: task, method, seed."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dima.config.base import Compute, Count, NonNegativeInt, Strict, require
from dima.config.checkout_parameters import (
    HarlOffPolicyCheckoutParameters,
    HarlOnPolicyCheckoutParameters,
    MarieCheckoutParameters,
)
from dima.config.dima_parameters import DimaParameters
from dima.config.harl_parameters import HarlOffPolicyParameters, HarlOnPolicyParameters
from dima.config.mamba_parameters import MambaParameters
from dima.config.marie_parameters import MarieParameters

MethodParameters = Annotated[
    DimaParameters
    | MambaParameters
    | MarieParameters
    | HarlOnPolicyParameters
    | HarlOffPolicyParameters
    | HarlOnPolicyCheckoutParameters
    | HarlOffPolicyCheckoutParameters
    | MarieCheckoutParameters,
    Field(discriminator="algorithm"),
]
Engine = Literal["native", "harl", "checkout"]
"""Who computes: this project's code, the wheel of HARL, or the program of a user's own checkout."""

MARIE_EPISODES = 10
"""What MARIE's own program plays in each evaluation."""


class EvaluationConfig(Strict):
    """Deterministic evaluation episodes at multiples of `every` environment steps, at step 0 and at the
    budget.
    """

    every: Count
    episodes: Count


class TaskConfig(Strict):
    """One task: how long it is trained and evaluated, in which simulator, and how results name it."""

    name: str
    label: str
    suite: str = Field(description="tasks that share tables; the same as in envs/registry.py")
    preset: str
    simulator: str = Field(description="an engine of the task in envs/registry.py")
    agents: Count
    env_steps: Count
    evaluation: EvaluationConfig
    comparable_with_paper: bool = Field(
        description="false: another physics engine than the paper's, or no number in the paper"
    )

    @model_validator(mode="after")
    def _compares_like_with_like(self) -> TaskConfig:
        require(
            self.simulator != "mujoco-warp",
            "simulator mujoco-warp steps torch tensors, which no method takes",
        )
        theirs = (
            self.suite == "mamujoco"
            and self.preset == "paper"
            or self.suite == "bidexhands"
            and self.simulator == "isaacgym"
        )
        what = f"{self.suite} with preset {self.preset} in {self.simulator}"
        require(
            theirs or not self.comparable_with_paper,
            f"comparable_with_paper must be false: the paper did not measure {what}",
        )
        return self


class CellConfig(Strict):
    """The resolved configuration of one cell: what is computed, never where it runs."""

    grid: str
    task: TaskConfig
    method: str
    engine: Engine
    seed: NonNegativeInt
    parameters: MethodParameters

    @model_validator(mode="after")
    def _parts_fit(self) -> CellConfig:
        engine = _engine_of(self.parameters)
        require(self.engine == engine, f"engine must be {engine} for algorithm {self.parameters.algorithm}")
        if isinstance(self.parameters, DimaParameters):
            self.parameters.sampler.steps_for(self.task.agents)
        if engine == "checkout":
            self._upstream_can_be_told()
        return self

    def _upstream_can_be_told(self) -> None:
        """A checkout's program has its own tasks and its own evaluation."""
        task, parameters = self.task, self.parameters
        own = (task.preset, task.simulator) == ("paper", "mujoco")
        require(
            own,
            f"a checkout runs its own {task.name}: preset must be paper and simulator mujoco, not {task.preset} and {task.simulator}",
        )
        if isinstance(parameters, MarieCheckoutParameters):
            episodes = task.evaluation.episodes
            require(
                episodes == MARIE_EPISODES,
                f"evaluation.episodes must be {MARIE_EPISODES}, as MARIE plays them, not {episodes}",
            )
        if isinstance(parameters, HarlOffPolicyCheckoutParameters):
            warmup = parameters.warmup_steps
            require(
                task.env_steps > warmup,
                f"env_steps must be above warmup_steps ({warmup}): HARL evaluates nothing before",
            )

    @property
    def compute(self) -> Compute:
        """The preset of computing; only native methods have a choice."""
        parameters = self.parameters
        return (
            parameters.compute
            if isinstance(parameters, DimaParameters | MambaParameters | MarieParameters)
            else "reference"
        )

    def canonical(self) -> str:
        """What is computed, as JSON with sorted keys: equal computations give equal text.

        How it is shown and compared is left out.
        """
        return json.dumps(
            self.model_dump(mode="json", exclude={"task": {"label", "comparable_with_paper"}}), sort_keys=True
        )

    def digest(self) -> str:
        """SHA-256 of `canonical()`, in hexadecimal.

        What decides whether a finished cell is still the one asked for.
        """
        return hashlib.sha256(self.canonical().encode()).hexdigest()


def _engine_of(parameters: MethodParameters) -> Engine:
    if isinstance(parameters, HarlOnPolicyParameters | HarlOffPolicyParameters):
        return "harl"
    if isinstance(parameters, DimaParameters | MambaParameters | MarieParameters):
        return "native"
    return "checkout"
