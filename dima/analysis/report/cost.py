"""What the grid's cells took: hours by method and hardware, as recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dima.analysis.report.cell_files import CellFiles
from dima.analysis.report.origins import hardware_of

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Cost:
    """Hours of a method on some hardware: of its completed cells, and of the others."""

    method: str
    hardware: str
    completed: int
    completed_hours: float
    others: int
    other_hours: float

    @property
    def hours_a_cell(self) -> float | None:
        """Mean over the completed cells."""
        return self.completed_hours / self.completed if self.completed else None


def costs(cells: Iterable[CellFiles]) -> list[Cost]:
    """One entry a method and hardware, in the grid's order.

    Cells of which no time is recorded are in none.
    """
    grouped: dict[tuple[str, str], list[tuple[bool, float]]] = defaultdict(list)
    for cell in cells:
        if cell.wall_seconds is not None:
            hours = cell.wall_seconds / SECONDS_PER_HOUR
            grouped[cell.key.method, hardware_of(cell)].append((cell.record.state == "completed", hours))
    found = []
    for (method, hardware), known in grouped.items():
        completed, others = ([hours for done, hours in known if done is wanted] for wanted in (True, False))
        found.append(Cost(method, hardware, len(completed), sum(completed), len(others), sum(others)))
    return found
