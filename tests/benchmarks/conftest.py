"""Sizes of seconds in which every option of the method can be set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.workload import Sizes, full_rows
from dima.config import CellConfig, DimaParameters
from dima.config.grid import merge, validate
from dima.experience.dimensions import Dimensions


@pytest.fixture
def small(tiny_cell: CellConfig) -> Callable[..., Sizes]:
    """Sizes of the tiny configuration for a number of agents, with parameters changed."""

    def make(agents: int = 2, **changes: dict[str, Any]) -> Sizes:
        parameters = validate(
            DimaParameters, merge(tiny_cell.parameters.model_dump(mode="json"), changes), "test"
        )
        return Sizes(parameters, Dimensions(5, agents, 7, 2), full_rows(parameters))

    return make
