"""The files of one cell, whatever its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dima.analysis.records.load import CellRecord, read_object
from dima.config import older_method
from dima.config.grid import CellKey, Grid

FILM = "film.mp4"
"""The name of the file at `film_path`."""


@dataclass(frozen=True)
class CellFiles:
    """One planned cell.

    Attributes:
        record: its state and summary.
        why: the reason for a state other than `completed`, in words.
        status: the content of `status.json`; each file is empty where it is missing or unreadable.
        summary: the content of `summary.json`.
        config: the content of `config.json`.
        history: the content of `provenance.json`.
    """

    record: CellRecord
    why: str
    status: Mapping[str, Any]
    summary: Mapping[str, Any]
    config: Mapping[str, Any]
    history: Mapping[str, Any]

    @property
    def key(self) -> CellKey:
        """Which cell."""
        return self.record.key

    @property
    def page(self) -> str:
        """The path of its page in the report."""
        return f"cells/{self.key.folder}.html"

    @property
    def starts(self) -> list[Mapping[str, Any]]:
        """The provenance of each process of the attempt."""
        starts = self.history.get("starts") or self.summary.get("provenance")
        return [start for start in starts if isinstance(start, dict)] if isinstance(starts, list) else []

    @property
    def wall_seconds(self) -> float | None:
        """Of all processes of the attempt together, None if not recorded."""
        if self.record.summary:
            return self.record.summary.wall_seconds
        value = self.status.get("wall_seconds")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    @property
    def env_steps(self) -> int | None:
        """Environment steps, by the last status."""
        value = self.status.get("env_steps")
        return value if isinstance(value, int) else None


def read_cell(grid: Grid, record: CellRecord, config_hash: str | None) -> CellFiles:
    """The files of the record's cell; `config_hash` is the current configuration's."""
    names = ("status.json", "summary.json", "config.json", "provenance.json")
    status, summary, config, history = (
        read_object(record.records, record.key.folder, name) for name in names
    )
    why = _why(record, grid.task(record.key.task).env_steps, config_hash, status, config)
    return CellFiles(record, why, status, summary, config, history)


def _why(
    record: CellRecord,
    budget: int,
    config_hash: str | None,
    status: Mapping[str, Any],
    config: Mapping[str, Any],
) -> str:
    message = str(status.get("message") or "")
    match record.state:
        case "completed":
            return ""
        case "trained by an older method":
            return f"{older_method(config.get('config'))}; not averaged"
        case "stale" if record.summary and record.summary.budget != budget:
            recorded = f"recorded with a budget of {record.summary.budget:,} env steps"
            return f"{recorded}, the grid now asks for {budget:,}; not averaged"
        case "stale" if record.summary:
            now = config_hash[:12] if config_hash else "unknown"
            recorded = f"recorded with another configuration ({record.summary.config_hash[:12]})"
            return f"{recorded} than the grid's ({now}); not averaged"
        case "not run":
            return "it has no record"
        case "running":
            return "it is running, or was killed; not averaged"
        case "interrupted" if status.get("state") == "completed":
            return "its summary is gone; not averaged"
        case "interrupted":
            return message or "it was stopped before its end; not averaged"
        case _:
            return f"{message or 'no reason recorded'}; not averaged"
