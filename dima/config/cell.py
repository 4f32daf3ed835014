"""The configuration of one cell: task, method, seed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field, model_validator

from dima.config.base import Compute, NonNegativeInt, Strict, require
from dima.config.method import Engine, Parameters
from dima.config.registry import LEARNERS
from dima.config.task import TaskConfig

if TYPE_CHECKING:
    MethodParameters = Parameters
else:  # chosen by `algorithm`
    MethodParameters = Annotated[Union[tuple(LEARNERS)], Field(discriminator="algorithm")]  # noqa: UP007


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
        engine = self.parameters.engine
        require(self.engine == engine, f"engine must be {engine} for algorithm {self.parameters.algorithm}")
        self.parameters.check(self.task)
        return self

    @property
    def compute(self) -> Compute:
        """The preset of computing."""
        return self.parameters.preset

    def canonical(self) -> str:
        """What is computed, as JSON with sorted keys: equal computations give equal text.

        How it is shown and compared is left out.
        """
        return json.dumps(
            self.model_dump(mode="json", exclude={"task": {"label", "comparable_with_paper"}}), sort_keys=True
        )

    def digest(self) -> str:
        """SHA-256 of `canonical()` in hexadecimal; a finished cell counts only with the digest asked for."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()
