"""A folder for results, and summaries made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_summary import made_summary


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def make_summary() -> Callable[..., dict[str, Any]]:
    """`make_summary(key, mean, budget)`: the content of a `summary.json` of the grid `trial`."""
    return made_summary
