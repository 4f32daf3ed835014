"""A study over seeds: points with an interval, as its table lists and its figure draws them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pandas as pd


class Interval(StrEnum):
    """What the two bounds of a point are, in the words of the table."""

    BOOTSTRAP = "95 % bootstrap over seeds"
    RANGE = "minimum to maximum over seeds"
    CELL = "95 % within the cell"
    NONE = "none"


@dataclass(frozen=True)
class MethodPoints:
    """The results of one method in a study.

    Attributes:
        method: its name.
        seeds: how many of the `planned` seeds were studied.
        points: a row a key and quantity: the columns of the key (`Form.names`), `quantity`, its `mean` over
            `seeds` seeds, and the bounds `low` and `high` of the `interval` (an `Interval`).
        synthetic: the label of synthetic files.
    """

    method: str
    seeds: int
    planned: int
    points: pd.DataFrame
    synthetic: str | None = None

    @property
    def label(self) -> str:
        """The method as legends and titles name it."""
        return f"{self.method} (n={self.seeds}/{self.planned})"

    def select(self, quantity: str, **parts: str | float) -> pd.DataFrame:
        """The points of the quantity whose key has these parts."""
        wanted = {"quantity": quantity, **parts}
        return self.points.loc[(self.points[list(wanted)] == list(wanted.values())).all(axis=1)]
