"""The page of one cell: what became of it, its curves, its film, its configuration and where it comes
from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dima.analysis.report.cell_files import FILM, CellFiles
from dima.analysis.report.cell_log import CellLog, ScalarGroup, read_log
from dima.analysis.report.chart import Chart, Series, make_chart
from dima.analysis.report.cost import SECONDS_PER_HOUR
from dima.analysis.report.origins import Origin, origin_of
from dima.analysis.returns.exploitation import signs_of_exploitation
from dima.analysis.tables.markup import NONE
from dima.config import TaskConfig
from dima.errors import UserError
from dima.record.events import DIGITS


@dataclass(frozen=True)
class DrawnGroup:
    """A group of logged numbers: a small chart each, and the values that they draw as a table, a column a
    name.
    """

    group: ScalarGroup
    charts: list[Chart]
    rows: list[tuple[int, list[str]]]


@dataclass(frozen=True)
class Start:
    """One process of the cell: when it began, where from, and the versions of what it ran with."""

    began: str
    device: str
    origin: Origin
    versions: str


@dataclass(frozen=True)
class CellPage:
    """What the template writes down.

    Attributes:
        cell: of the page.
        task: its configuration in the grid.
        facts: terms and what is to be said of each.
        fault: why the event log of a cell that is averaged nowhere is not shown; empty where it is.
        curve: the evaluations, None where there is none.
        evaluations: one row an evaluation: step, mean with least and greatest, episodes, success.
        groups: the logged numbers.
        settings: the configuration by path.
        starts: the processes.
        film: the film's bytes, None where there is none.
    """

    cell: CellFiles
    task: TaskConfig
    facts: list[tuple[str, str]]
    fault: str
    curve: Chart | None
    evaluations: list[tuple[int, str, int, str]]
    groups: list[DrawnGroup]
    settings: list[tuple[str, str]]
    starts: list[Start]
    film: bytes | None


def make_cell_page(cell: CellFiles, task: TaskConfig) -> CellPage:
    """The page of a cell.

    Raises: UserError: the event log of a completed cell cannot be trusted; that of another one is left out of
        its page, which says why.
    """
    log, fault = _log(cell)
    budget = max([task.env_steps, *(evaluation.grid_step for evaluation in log.evaluations)])
    points = log.evaluations
    series = Series(
        "evaluation return",
        [point.grid_step for point in points],
        [point.mean for point in points],
        [point.low for point in points],
        [point.high for point in points],
    )
    return CellPage(
        cell=cell,
        task=task,
        facts=[*_facts(cell, task), *_warnings(cell, fault)],
        fault=fault,
        curve=make_chart([series], budget, height=240) if points else None,
        evaluations=[
            (
                point.grid_step,
                mean_and_range(point.mean, point.low, point.high),
                point.episodes,
                share(point.success),
            )
            for point in points
        ],
        groups=[_draw(group, budget) for group in log.groups],
        settings=list(_settings(cell.config.get("config"))),
        starts=[_start(start) for start in cell.starts],
        film=cell.record.records.read(cell.key.folder, FILM),
    )


def mean_and_range(mean: float | None, low: float | None, high: float | None) -> str:
    """`32.5 [31.0, 34.0]`, the script of the page reads the number in front."""
    if mean is None:
        return NONE
    return f"{mean:.1f}" if low is None or high is None else f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def share(success: float | None) -> str:
    """A share in per cent."""
    return NONE if success is None else f"{success:.0%}"


def hours(seconds: float | None) -> str:
    """`2.34 h`, or shorter times in minutes."""
    if seconds is None:
        return "not recorded"
    return (
        f"{seconds / SECONDS_PER_HOUR:,.2f} h" if seconds >= SECONDS_PER_HOUR else f"{seconds / 60:.1f} min"
    )


def _log(cell: CellFiles) -> tuple[CellLog, str]:
    record, name = cell.record, "events.jsonl"
    content = record.records.read(cell.key.folder, name) or b""
    if record.state == "completed":
        return read_log(content, record.records.place(cell.key.folder, name)), ""
    try:
        return read_log(content, f"{cell.key.folder}/{name}"), ""
    except UserError as error:
        return CellLog([], []), str(error)


def _facts(cell: CellFiles, task: TaskConfig) -> Iterator[tuple[str, str]]:
    summary, record = cell.record.summary, cell.summary
    if summary:
        final = record["final"]
        deviation = final.get("std")
        spread = f" ± {deviation:.1f} over its episodes" if isinstance(deviation, float) else ""
        episodes = f", {final['episodes']} episodes" if isinstance(final.get("episodes"), int) else ""
        yield (
            "final return",
            f"{summary.final.mean:.1f}{spread} (after {summary.final.grid_step:,} env steps{episodes})",
        )
        yield "mean of the last five evaluations", f"{summary.mean_of_last_five:.1f}"
        yield "engine", summary.engine
        yield "physics (lineage)", summary.lineage
        yield "configuration", summary.config_hash
    elif cell.env_steps is not None:
        yield "env steps", f"{cell.env_steps:,} of {task.env_steps:,}"
    attempt = summary.attempts if summary else cell.history.get("attempt")
    if isinstance(attempt, int):
        yield (
            "attempt",
            f"{attempt}, {len(cell.starts)} process{'' if len(cell.starts) == 1 else 'es'}{_continued(cell)}",
        )
    if cell.record.state != "not run":
        yield "wall time", f"{hours(cell.wall_seconds)}, of all processes of this attempt together"
        yield "energy", "not recorded"
    yield "its folder", f"{cell.key.folder} in the grid's folder cells"


def _warnings(cell: CellFiles, fault: str) -> Iterator[tuple[str, str]]:
    log = b"" if fault else cell.record.records.read(cell.key.folder, "events.jsonl")
    warning = signs_of_exploitation(log or b"", "events.jsonl")
    if warning:
        yield "warning", warning


def _continued(cell: CellFiles) -> str:
    """Of a cell whose budget was raised: what it went on from."""
    match cell.history.get("continued"):
        case {"attempt": int(attempt), "budget": int(budget)}:
            return f", continues attempt {attempt}, whose budget was {budget:,} env steps"
    return ""


def _draw(group: ScalarGroup, budget: int) -> DrawnGroup:
    charts = [
        make_chart([Series(name, group.steps, values)], max(budget, *group.steps), height=150)
        for name, values in group.values.items()
    ]
    columns: Sequence[list[float | None]] = list(group.values.values())
    rows = [
        (step, [NONE if value is None else f"{value:.{DIGITS}g}" for value in row])
        for step, row in zip(group.steps, zip(*columns, strict=True), strict=True)
    ]
    return DrawnGroup(group, charts, rows)


def _settings(config: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every value of the configuration under its dotted path, in the order of the paths."""
    if isinstance(config, dict) and config:
        for name in sorted(config):
            yield from _settings(config[name], f"{path}.{name}" if path else str(name))
    elif path:
        yield path, config if isinstance(config, str) else json.dumps(config, sort_keys=True)


def _start(start: Mapping[str, Any]) -> Start:
    versions = start.get("versions")
    known = {"Python": start.get("python"), **(versions if isinstance(versions, dict) else {})}
    named = ", ".join(f"{name} {version}" for name, version in known.items() if version is not None)
    began, device = (str(start.get(name) or "not recorded") for name in ("started", "device"))
    return Start(began, device, origin_of(start), named or "not recorded")
