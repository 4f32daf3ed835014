"""The best and second best rows of a table, among comparable rows and as their numbers are printed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np
import pandas as pd

Rank = Literal["best", "second", ""]
Row = TypeVar("Row")


def ranks(values: Mapping[int, tuple[Hashable, float]], digits: int) -> dict[int, Rank]:
    """Best and second best of each group; a row that is neither is left out.

    Equal numbers share a rank, and after two best comes a third. If all of a group are equal, none is best.

    Args:
        values: by row, its group and its number, of which more is better.
        digits: decimals with which the number is printed; what looks equal is equal.
    """
    groups = pd.Series([group for group, _ in values.values()], list(values), dtype=object)
    numbers = pd.Series([round(value, digits) for _, value in values.values()], list(values), dtype=float)
    grouped = numbers.groupby(groups, sort=False)
    differ = np.asarray(grouped.transform("nunique")) > 1
    places = grouped.rank(method="min", ascending=False).where(differ)
    words: dict[float, Rank] = {1.0: "best", 2.0: "second"}
    return {row: words[place] for row, place in places.items() if place in words}  # pyright: ignore[reportReturnType]


def with_ranks(
    rows: Iterable[Row], candidate: Callable[[Row], tuple[Hashable, float] | None], digits: int
) -> list[Row]:
    """The rows, dataclasses, with their `rank`; `candidate` is what `ranks` compares, None for others."""
    rows = list(rows)
    values = {index: found for index, row in enumerate(rows) if (found := candidate(row)) is not None}
    found = ranks(values, digits)
    return [replace(row, rank=found.get(index, "")) for index, row in enumerate(rows)]  # pyright: ignore[reportArgumentType]
