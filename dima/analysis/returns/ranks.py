"""Which rows of a table are its best and second best.

Only among what may be compared, and as the numbers are printed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from typing import Literal

Rank = Literal["best", "second", ""]


def ranks(values: Mapping[int, tuple[Hashable, float]], digits: int) -> dict[int, Rank]:
    """Best and second of each group of at least two rows; a row that is neither is left out.

    Equal numbers share a rank, and what follows two best is third.

    Args:
        values: by row, the group in which rows may be compared, and the number of which more is better.
        digits: with how many decimals the number is printed; what looks equal is equal.
    """
    groups: dict[Hashable, dict[int, float]] = defaultdict(dict)
    for row, (group, value) in values.items():
        groups[group][row] = round(value, digits)
    found: dict[int, Rank] = {}
    for rows in groups.values():
        (best, count), *others = sorted(Counter(rows.values()).items(), reverse=True)
        if len(rows) < 2 or not others:  # nothing is best where all are equal
            continue
        named: dict[float, Rank] = {best: "best"}
        if count == 1:
            named[others[0][0]] = "second"
        found |= {row: named[value] for row, value in rows.items() if value in named}
    return found
