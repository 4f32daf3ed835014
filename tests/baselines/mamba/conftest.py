"""A tiny MAMBA on push-mass."""

from __future__ import annotations

import pytest

from dima.config import CellConfig
from dima.config.grid import CellKey, Grid, merge, validate


@pytest.fixture
def cell(tiny: Grid) -> CellConfig:
    """MAMBA on push-mass, seed 1."""
    return tiny.resolve(CellKey("push-mass", "mamba", 1))


@pytest.fixture
def changed():
    """A cell with other parameters."""
    return lambda cell, **parameters: validate(
        type(cell), merge(cell.model_dump(mode="json"), {"parameters": parameters}), "test"
    )
