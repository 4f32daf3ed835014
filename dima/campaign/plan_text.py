"""The text of `dima plan`, for a terminal or a file."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import mean

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dima.campaign.cell_plan import CellPlan, Fate
from dima.campaign.cell_status import WIDTH_OF_A_FILE
from dima.campaign.measured import DEVICES, Measured
from dima.campaign.plan import TO_COME, Plan, Prospect
from dima.campaign.speed import Expected, Range
from dima.words import byte_size, counted, hours

FATES: dict[Fate, str] = {
    "finished": "finished",
    "continue": "to continue",
    "anew": "to rerun",
    "new": "not begun",
    "unreadable": "unreadable",
    "impossible": "impossible",
}
UNKNOWN = "unknown"


def show(plan: Plan) -> None:
    """Print the plan."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_A_FILE)
    console.print(_table(plan))
    for line in remarks(plan):
        print(line)
    if plan.measured:
        print()
        console.print(_measurements(plan))


def rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    """The table by suite and method, then of all: numbers of cells, remaining hours and disk."""
    groups: dict[tuple[str, str], list[CellPlan]] = {}
    for cell in plan.cells:
        groups.setdefault((plan.grid.task(cell.key.task).suite, cell.key.method), []).append(cell)
    for (suite, method), cells in groups.items():
        yield (suite, method, *_columns(plan, cells))
    if len(groups) > 1:
        yield ("all", "", *_columns(plan, plan.cells))


def _columns(plan: Plan, cells: Sequence[CellPlan]) -> Iterator[str]:
    fates = Counter(cell.fate for cell in cells)
    prospects = [plan.prospects[cell.key] for cell in cells if cell.key in plan.prospects]
    yield from (str(len(cells)), *(str(fates[fate] or "") for fate in ("finished", *TO_COME)))
    times = [f"{hours(seconds)} {device}" for device, seconds in _seconds(prospects)]
    times += [f"~{seconds.text(hours)} {device}" for device, seconds in _elsewhere(prospects)]
    unknown = sum(prospect.seconds is None and prospect.elsewhere is None for prospect in prospects)
    yield _known(times, unknown)
    sizes = [prospect.size.amount for prospect in prospects if prospect.size]
    yield _known([byte_size(sum(sizes))] if sizes else [], len(prospects) - len(sizes))


def _known(texts: Sequence[str], unknown: int) -> str:
    return " + ".join([*texts, *([UNKNOWN if not texts else "?"] if unknown else [])])


def _seconds(prospects: Sequence[Prospect]) -> list[tuple[str, float]]:
    """The devices with remaining time, and their seconds."""
    known = [prospect.seconds for prospect in prospects if prospect.seconds]
    parts = {device: [of.amount for of in known if of.device == device] for device in DEVICES.values()}
    return [(device, sum(part)) for device, part in parts.items() if part]


def _elsewhere(prospects: Sequence[Prospect]) -> list[tuple[str, Range]]:
    """The same by speeds measured elsewhere."""
    known = [prospect.elsewhere for prospect in prospects if prospect.elsewhere]
    parts = {
        device: [found.seconds for found in known if found.speed.device == device]
        for device in DEVICES.values()
    }
    return [(device, Range(*map(sum, zip(*part, strict=True)))) for device, part in parts.items() if part]


def remarks(plan: Plan) -> Iterator[str]:
    """The lines below the table."""
    states = Counter(cell.state for cell in plan.cells if cell.fate == "continue")
    if states:
        yield f"To continue: {', '.join(f'{count} {state}' for state, count in states.items())}."
    headings: dict[Fate, str] = {
        "anew": "To rerun:",
        "unreadable": "Unreadable, not in the estimate (Snakemake counts an existing summary as finished):",
        "impossible": "Impossible:",
    }
    for fate, heading in headings.items():
        cells = [cell for cell in plan.cells if cell.fate == fate]
        if cells:
            yield heading
            yield from _named(cells)
    yield from _hours_to_come(plan)
    yield from _disk(plan)


def _named(cells: Sequence[CellPlan]) -> Iterator[str]:
    """The cells with their reasons; seeds that share one share a line."""
    seeds: dict[tuple[str, str, str], list[str]] = {}
    for cell in cells:
        seeds.setdefault((cell.key.task, cell.key.method, cell.reason), []).append(f"seed-{cell.key.seed}")
    for (task, method, reason), names in seeds.items():
        yield f"  {task}/{method}/{', '.join(names)}: {reason}"


def _hours_to_come(plan: Plan) -> Iterator[str]:
    prospects = list(plan.prospects.values())
    if not prospects:
        yield "Nothing would run."
        return
    known = [prospect.seconds for prospect in prospects if prospect.seconds]
    measured = " and ".join(f"{hours(seconds)} h of {device}" for device, seconds in _seconds(prospects))
    others = sum(not of.like for of in known)
    elsewhere = [prospect.elsewhere for prospect in prospects if prospect.elsewhere]
    unknown = len(prospects) - len(known) - len(elsewhere)
    if known or not elsewhere:
        yield f"Time to come: {_total(measured, len(known), others, unknown)}."
    if elsewhere:
        times = (f"{seconds.text(hours)} h of {device}" for device, seconds in _elsewhere(prospects))
        about = " and ".join(times)
        more = "" if known or not unknown else f"; {_cells(unknown)} unknown"
        begin = "In addition" if known else "Time to come"
        yield f"{begin}: about {about} for {_cells(len(elsewhere))}, by speeds measured elsewhere{more}."
        yield from _rows_elsewhere(plan)


def _rows_elsewhere(plan: Plan) -> Iterator[str]:
    """The speeds behind the estimate: method, machine and number of cells."""
    groups: dict[tuple[str, str, bool, str], list[tuple[str, Expected]]] = {}
    for key, prospect in plan.prospects.items():
        if prospect.elsewhere:
            speed = prospect.elsewhere.speed
            other = speed.compute != plan.grid.resolve(key).compute
            place = (key.method, speed.compute, other, speed.hardware)
            groups.setdefault(place, []).append((key.task, prospect.elsewhere))
    for (method, compute, other, hardware), found in groups.items():
        named = f"{method}, timed with the preset {compute}" if other else method
        others = sum(task != one.speed.task for task, one in found)
        by_others = f", {others} of them by another task" if others else ""
        epochs = Range(min(one.epochs.least for _, one in found), max(one.epochs.most for _, one in found))
        epochs_text = f"{epochs.text('{:,.0f}'.format)} epochs a cell"
        yield f"  {named}: {_cells(len(found))}{by_others}, on {hardware}; {epochs_text}"
    if any(one.epochs.least < one.epochs.most for group in groups.values() for _, one in group):
        yield "  Ranges: an epoch has one episode or more, and on some tasks early episodes are short."


def _total(amount: str, known: int, others: int, unknown: int) -> str:
    """An estimate for `known` cells, `others` of which are estimated by other tasks."""
    if not known:
        return f"unknown for {_cells(unknown)}, as nothing was measured"
    by_others = f", {others} of them by their method on other tasks" if others else ""
    least, more = ("at least ", f"; {_cells(unknown)} unknown") if unknown else ("", "")
    return f"{least}{amount} for {_cells(known)}{by_others}{more}"


def _cells(count: int) -> str:
    return counted(count, "cell")


def _disk(plan: Plan) -> Iterator[str]:
    use, prospects = plan.use, list(plan.prospects.values())
    parts = (("checkpoints", use.checkpoints), ("records", use.records), ("others", use.others))
    whole = byte_size(sum(size for _, size in parts))
    texts = ", ".join(f"{name} {byte_size(size)}" for name, size in parts)
    yield f"Disk: {plan.folder} takes {whole} ({texts});"
    sizes = [prospect.size for prospect in prospects if prospect.size]
    need = sum(size.amount for size in sizes)
    if prospects:
        others = sum(not size.like for size in sizes)
        yield f"  to come: {_total(byte_size(need), len(sizes), others, len(prospects) - len(sizes))};"
    yield f"  free: {byte_size(plan.free)}."
    if need > plan.free:
        yield f"The disk will be full: free {byte_size(need - plan.free)} more before running the grid."


def _table(plan: Plan) -> Table:
    fates = Counter(cell.fate for cell in plan.cells)
    counts = ", ".join(f"{fates[fate]} {name}" for fate, name in FATES.items() if fates[fate])
    table = _plain_table(f"{_cells(len(plan.cells))}: {counts}")
    counts_to_come = ("cells", "finished", "continue", "rerun", "new", "hours to come", "disk to come")
    for name in ("suite", "method", *counts_to_come):
        table.add_column(name, justify="left" if name in ("suite", "method") else "right")
    for row in rows(plan):
        table.add_row(*row)
    return table


def _measurements(plan: Plan) -> Table:
    table = _plain_table(
        "Measured: means of finished cells of the grid's configuration, sizes of those of its budget"
    )
    for name in ("suite", "method", "cells", "h a cell", "h per 1e6 steps", "disk a cell", "hardware"):
        table.add_column(name, justify="left" if name in ("suite", "method", "hardware") else "right")
    for row in measurements(plan.measured):
        table.add_row(*map(escape, row))
    return table


def _plain_table(title: str) -> Table:
    return Table(title=title, box=None, title_justify="left", padding=(0, 1))


def measurements(measured: Sequence[Measured]) -> Iterator[tuple[str, ...]]:
    """By suite, method and hardware: number of cells, mean hours, also per million steps, mean size."""
    groups: dict[tuple[str, str, str, str], list[Measured]] = {}
    for cell in measured:
        groups.setdefault((cell.suite, cell.key.method, cell.device, cell.hardware), []).append(cell)
    for (suite, method, device, hardware), cells in groups.items():
        seconds = mean(cell.seconds for cell in cells)
        per_million = mean(cell.seconds / cell.budget for cell in cells) * 1e6
        sizes = [cell.size for cell in cells if cell.size is not None]
        size = byte_size(mean(sizes)) if sizes else UNKNOWN
        times = (hours(seconds), hours(per_million))
        yield suite, method, str(len(cells)), *times, size, f"{device}: {hardware}"
