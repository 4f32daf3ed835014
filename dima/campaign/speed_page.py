"""The table of docs/speed.md, times at the paper's sizes: `python -m dima.campaign.speed_page` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from dima.campaign.speed import PAPER, Expected, Range, Speed, Speeds, read_speeds
from dima.config.grid import CONFIG_DIR, CellKey, Grid, load_grid, plain_grid

COLUMNS = ("method", "on", "tasks", "epochs", "minutes", "GB", "how")
TIMED = {
    "cells": "measured, whole cells",
    "epochs": "extrapolated from epochs",
    "updates": "extrapolated from single updates",
}


def markdown() -> str:
    """The table by method and machine, and a sentence about what was not measured."""
    paper, table = load_grid(PAPER), read_speeds()
    rows = [speed for speed in table.speeds if speed.grid == PAPER]
    tasks = list(dict.fromkeys(key.task for key in paper.cells))
    grid = plain_grid(tasks, dict.fromkeys(speed.method for speed in rows), config_dir=CONFIG_DIR)
    speeds = Speeds(grid, table)
    paths = dict.fromkeys((speed.method, speed.compute, speed.hardware) for speed in rows)
    lines = [line for path in paths for line in _lines(speeds, tasks, path)]
    return "\n".join([_line(COLUMNS), _line(["---"] * len(COLUMNS)), *lines, "", _missing(paper, rows)])


def _lines(speeds: Speeds, tasks: list[str], path: tuple[str, str, str]) -> Iterator[str]:
    """The lines of a method, preset and machine; tasks with equal numbers share one."""
    method, compute, hardware = path
    alike: dict[tuple[str, ...], list[str]] = {}
    for task in tasks:
        key = CellKey(task, method, 1)
        own = [speed for speed in speeds.rows(key) if (speed.method, speed.compute, speed.hardware) == path]
        best = min(own, key=lambda speed: speed.task != task, default=None)
        usable = best and (best.task == task or best.of != "updates")
        found = speeds.expected_by(best, key) if best and usable else None
        if found:
            alike.setdefault(_cells(task, found), []).append(task)
    name = f"`{method}`{'' if compute == 'reference' else f', {compute}'}"
    for cells, those in alike.items():
        yield _line([name, hardware, ", ".join(those), *cells])


def _cells(task: str, found: Expected) -> tuple[str, ...]:
    speed = found.speed
    how = TIMED[speed.of] if speed.task == task else f"extrapolated from {speed.task}"
    place = speed.source.split(", ")[0]
    minutes = Range(*(seconds / 60 for seconds in found.seconds))
    gigabytes = f"{speed.gigabytes:g}" if speed.gigabytes else ""
    return found.epochs.text(_number), minutes.text(_number), gigabytes, f"[{how}](../{place})"


def _number(value: float) -> str:
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"


def _missing(paper: Grid, rows: list[Speed]) -> str:
    """The methods and suites of the paper's grid that have no row."""
    methods = sorted({key.method for key in paper.cells} - {speed.method for speed in rows})
    suites = sorted(
        {paper.task(key.task).suite for key in paper.cells} - {paper.task(speed.task).suite for speed in rows}
    )
    words = [", ".join(f"`{name}`" for name in methods)] if methods else []
    words += [f"any method on {' and '.join(suites)}"] if suites else []
    return (
        f"Not measured at the paper's sizes: {'; '.join(words)}."
        if words
        else "Every method of the paper was measured on every suite."
    )


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(markdown())
