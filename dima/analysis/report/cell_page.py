"""The page of one cell: state, curves, film, configuration and provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dima.analysis.report.cell_files import FILM, CellFiles
from dima.analysis.report.cell_log import CellLog, ScalarGroup, read_log
from dima.analysis.report.chart import Chart, Series, make_chart
from dima.analysis.report.origins import Origin, origin_of
from dima.analysis.returns.exploitation import signs_of_exploitation
from dima.analysis.tables.numbers import NONE, percent, with_interval
from dima.config import TaskConfig
from dima.errors import UserError
from dima.record.events import DIGITS
from dima.words import counted, duration


@dataclass(frozen=True)
class DrawnGroup:
    """A group of logged numbers: a small chart each, and their values as a table, a column a name."""

    group: ScalarGroup
    charts: list[Chart]
    rows: list[tuple[int, list[str]]]


@dataclass(frozen=True)
class Start:
    """One process of the cell: start, device, provenance and versions."""

    began: str
    device: str
    origin: Origin
    versions: str


@dataclass(frozen=True)
class CellPage:
    """The content of the template.

    Attributes:
        cell: of the page.
        task: its configuration in the grid.
        facts: terms with their texts.
        fault: why the event log is not shown, empty where it is; only of cells that are averaged nowhere.
        curve: the evaluations, None without any.
        evaluations: a row an evaluation: step, mean with least and greatest, episodes, success.
        groups: the logged numbers.
        settings: the configuration by path.
        starts: the processes.
        film: its bytes, None without one.
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

    Raises:
        UserError: the event log of a completed cell cannot be trusted. Other pages name the fault.
    """
    log, fault = _log(cell)
    budget = max([task.env_steps, *(evaluation.grid_step for evaluation in log.evaluations)])
    points = log.evaluations
    means, lows, highs = ([point[column] for point in points] for column in (1, 2, 3))
    series = Series("evaluation return", [point.grid_step for point in points], means, lows, highs)
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
                percent(point.success),
            )
            for point in points
        ],
        groups=[_draw(group, budget) for group in log.groups],
        settings=list(_settings(cell.config.get("config"))),
        starts=[_start(start) for start in cell.starts],
        film=cell.record.records.read(cell.key.folder, FILM),
    )


def mean_and_range(mean: float | None, low: float | None, high: float | None) -> str:
    """`32.5 [31.0, 34.0]`; the script of the page reads the first number."""
    return with_interval(mean, None if low is None or high is None else (low, high))


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
        after = f"(after {summary.final.grid_step:,} env steps{episodes})"
        yield "final return", f"{summary.final.mean:.1f}{spread} {after}"
        yield "mean of the last five evaluations", f"{summary.mean_of_last_five:.1f}"
        yield "engine", summary.engine
        yield "physics (lineage)", summary.lineage
        yield "configuration", summary.config_hash
    elif cell.env_steps is not None:
        yield "env steps", f"{cell.env_steps:,} of {task.env_steps:,}"
    attempt = summary.attempts if summary else cell.history.get("attempt")
    if isinstance(attempt, int):
        processes = counted(len(cell.starts), "process", "processes")
        yield "attempt", f"{attempt}, {processes}{_continued(cell)}"
    if cell.record.state != "not run":
        time = "not recorded" if cell.wall_seconds is None else duration(cell.wall_seconds)
        yield "wall time", f"{time}, of all processes of this attempt together"
        yield "energy", "not recorded"
    yield "its folder", f"{cell.key.folder} in the grid's folder cells"


def _warnings(cell: CellFiles, fault: str) -> Iterator[tuple[str, str]]:
    log = b"" if fault else cell.record.records.read(cell.key.folder, "events.jsonl")
    warning = signs_of_exploitation(log or b"", "events.jsonl")
    if warning:
        yield "warning", warning


def _continued(cell: CellFiles) -> str:
    """The attempt that a cell with a raised budget continues."""
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
