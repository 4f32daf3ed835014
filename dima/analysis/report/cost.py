"""Hours of computing by method and hardware, as the cells recorded them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from dima.analysis.report.cell_files import CellFiles
from dima.analysis.report.origins import hardware_of


class Cost(NamedTuple):
    """Cells and hours of a method on some hardware: of its completed cells, and of the others."""

    method: str
    hardware: str
    completed: int
    completed_hours: float
    others: int
    other_hours: float


def costs(cells: Iterable[CellFiles]) -> list[Cost]:
    """A row a method and hardware, in the grid's order, without cells that recorded no time."""
    known = []
    for cell in cells:
        if cell.wall_seconds is not None:
            own, none = (1, cell.wall_seconds / 3600), (0, 0.0)
            counts = (*own, *none) if cell.record.state == "completed" else (*none, *own)
            known.append(Cost(cell.key.method, hardware_of(cell), *counts))
    table = pd.DataFrame(known, columns=list(Cost._fields))
    sums = table.groupby(["method", "hardware"], sort=False, as_index=False).agg("sum")
    return [Cost(*row) for row in sums.itertuples(index=False)]
