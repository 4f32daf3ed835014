"""Small MARIE cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import CONFIG, TINY_MARIE

from dima.config import CellConfig, MarieParameters
from dima.config.grid import merge, validate
from dima.config.yaml_file import read_yaml


@pytest.fixture
def make_cell() -> Callable[..., CellConfig]:
    """`make_cell(seed, task, **changed parameters)`: at sizes of seconds, by default push-mass."""
    file = read_yaml(CONFIG / "methods/marie.yaml")

    def make(seed: int = 1, task: str = "push-mass", **parameters: Any) -> CellConfig:
        played = {"name": task, **read_yaml(CONFIG / f"tasks/{task}.yaml")}
        values = {"grid": "test", "task": played, "method": "marie", "engine": "native", "seed": seed}
        return validate(
            CellConfig,
            values
            | {
                "parameters": merge(
                    file["parameters"], file["for_suite"].get(played["suite"], {}), TINY_MARIE, parameters
                )
            },
            "test",
        )

    return make


@pytest.fixture(scope="session")
def paper_marie() -> MarieParameters:
    """The release's sizes for MAMuJoCo."""
    return validate(MarieParameters, read_yaml(CONFIG / "methods/marie.yaml")["parameters"], "test")
