"""What the parameter classes of all methods have in common."""

from __future__ import annotations

from typing import ClassVar, Literal

from dima.config.base import Compute, Strict
from dima.config.task import TaskConfig

Engine = Literal["native", "harl", "checkout"]
"""What computes: this project's code, the wheel of HARL, or the program of a user's own checkout."""


class Parameters(Strict):
    """A method's parameters, and what the rest of the project must know about the method.

    A subclass narrows `algorithm` to a Literal. `dima/config/registry.py` lists the subclasses.

    Attributes:
        engine: what computes.
        imagines: what its world model predicts. There are all studies of `states`, of `observations` only
            frames, and none of a method without a world model.
    """

    algorithm: str
    engine: ClassVar[Engine]
    imagines: ClassVar[Literal["states", "observations"] | None] = None

    def check(self, task: TaskConfig) -> None:
        """Refuse a task that these parameters do not fit. Raises ValueError."""

    @property
    def preset(self) -> Compute:
        """The preset of computing; only native methods have a choice."""
        return "reference"

    @property
    def decays_over_budget(self) -> bool:
        """Whether learning rates depend on the budget, so that a finished run cannot be made longer."""
        return False


class NativeParameters(Parameters):
    """Parameters of a method that this project's code computes."""

    engine = "native"
    compute: Compute

    @property
    def preset(self) -> Compute:
        return self.compute
