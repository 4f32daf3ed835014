"""What commands that time whole updates and cells share.

A stopwatch around a call, a median with its least and greatest, a JSON file.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dima.record.provenance import provenance


class Stopwatch:
    """Stands in the place of a callable and adds up the wall time of its calls [s].

    Attributes:
        seconds: of all calls so far.
        calls: how many there were.
    """

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self.seconds = 0.0
        self.calls = 0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return self._call(*arguments, **named)
        finally:
            self.seconds += time.perf_counter() - started
            self.calls += 1


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def shown(found: Mapping[str, float], style: str) -> str:
    """A `spread` as "median (least to greatest)", each number in the format `style`."""
    return f"{found['median']:{style}} ({found['min']:{style}} to {found['max']:{style}})"


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """`result` as JSON, after the commit, the hardware and the versions that it was measured with."""
    origin = provenance("cpu", None)
    named = {name: origin[name] for name in ("commit", "dirty", "hardware", "python", "versions")}
    named["processors"] = len(os.sched_getaffinity(0))
    path.write_text(json.dumps(named | dict(result), indent=1) + "\n", encoding="utf-8")
