"""The task of a cell, and how its policy is evaluated."""

from __future__ import annotations

from pydantic import Field, model_validator

from dima.config.base import Count, Strict, require


class EvaluationConfig(Strict):
    """Deterministic evaluation at step 0, at multiples of `every` environment steps and at the budget."""

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
        measured = {"mamujoco": self.preset == "paper", "bidexhands": self.simulator == "isaacgym"}
        what = f"{self.suite} with preset {self.preset} in {self.simulator}"
        require(
            measured.get(self.suite, False) or not self.comparable_with_paper,
            f"comparable_with_paper must be false: the paper did not measure {what}",
        )
        return self

    @property
    def observations_tell_state(self) -> bool:
        """Whether its environment has `states_seen`: MAMuJoCo's agents see the whole state, scaled."""
        return self.suite == "mamujoco" and self.preset == "paper"
