"""What a study is over seeds: points with an interval, as its table lists and its figure draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Interval(Enum):
    """What the two bounds of a point are; the value stands in the table."""

    BOOTSTRAP = "95 % bootstrap over seeds"
    RANGE = "minimum to maximum over seeds"
    CELL = "95 % within the cell"
    NONE = "none"


@dataclass(frozen=True)
class Point:
    """A quantity at one key, whose parts stand by column: its mean over `seeds` seeds, and its interval."""

    key: Mapping[str, str | float]
    quantity: str
    seeds: int
    mean: float
    low: float
    high: float
    interval: Interval


@dataclass(frozen=True)
class MethodPoints:
    """The points of one method, from `seeds` of the `planned` seeds; `synthetic` is what files that no run made say of themselves."""

    method: str
    seeds: int
    planned: int
    points: list[Point]
    synthetic: str | None = None

    @property
    def label(self) -> str:
        """The method as legends and titles name it."""
        return f"{self.method} (n={self.seeds}/{self.planned})"

    def select(self, quantity: str, **parts: str | float) -> list[Point]:
        """The points of the quantity whose key has these parts."""
        wanted = parts.items()
        return [point for point in self.points if point.quantity == quantity and wanted <= point.key.items()]
