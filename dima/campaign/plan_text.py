"""`dima plan`: the plan of a grid for a terminal or a file."""

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
from dima.campaign.disk import text_of_bytes
from dima.campaign.measured import DEVICES, Measured
from dima.campaign.plan import TO_COME, Plan, Prospect
from dima.campaign.speed import Expected, Range

FATES: dict[Fate, str] = {
    "finished": "finished",
    "continue": "to continue",
    "anew": "to be made anew",
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
    """For each suite and method, then for all: the numbers of cells, and the hours and the disk to come."""
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
    hours = [f"{_hours(seconds)} {device}" for device, seconds in _seconds(prospects)]
    hours += [f"~{seconds.text(_hours)} {device}" for device, seconds in _elsewhere(prospects)]
    yield _known(
        hours, sum(prospect.seconds is None and prospect.elsewhere is None for prospect in prospects)
    )
    sizes = [prospect.size.amount for prospect in prospects if prospect.size]
    yield _known([text_of_bytes(sum(sizes))] if sizes else [], len(prospects) - len(sizes))


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.1f}" if hours >= 10 else f"{hours:.2f}" if hours >= 0.1 else f"{hours:.3f}"


def _known(texts: Sequence[str], unknown: int) -> str:
    return " + ".join([*texts, *([UNKNOWN if not texts else "?"] if unknown else [])])


def _seconds(prospects: Sequence[Prospect]) -> list[tuple[str, float]]:
    """Device -> seconds to come on it, where there are any."""
    known = [prospect.seconds for prospect in prospects if prospect.seconds]
    return [
        (device, sum(part))
        for device in DEVICES.values()
        if (part := [of.amount for of in known if of.device == device])
    ]


def _elsewhere(prospects: Sequence[Prospect]) -> list[tuple[str, Range]]:
    """Device -> seconds to come on it by speeds measured elsewhere, where there are any."""
    known = [prospect.elsewhere for prospect in prospects if prospect.elsewhere]
    parts = {
        device: [found.seconds for found in known if found.speed.device == device]
        for device in DEVICES.values()
    }
    return [(device, Range(*map(sum, zip(*part, strict=True)))) for device, part in parts.items() if part]


def remarks(plan: Plan) -> Iterator[str]:
    """What the table cannot tell: a line for each thing."""
    states = Counter(cell.state for cell in plan.cells if cell.fate == "continue")
    if states:
        yield f"To continue: {', '.join(f'{count} {state}' for state, count in states.items())}."
    for fate, heading in (
        ("anew", "To be made anew:"),
        (
            "unreadable",
            "Unreadable, and not reckoned with (Snakemake takes a summary that is there for finished):",
        ),
        ("impossible", "Impossible:"),
    ):
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
    hours = " and ".join(f"{_hours(seconds)} h of {device}" for device, seconds in _seconds(prospects))
    others = sum(not of.like for of in known)
    elsewhere = [prospect.elsewhere for prospect in prospects if prospect.elsewhere]
    unknown = len(prospects) - len(known) - len(elsewhere)
    if known or not elsewhere:
        yield f"Time to come: {_total(hours, len(known), others, unknown)}."
    if elsewhere:
        about = " and ".join(
            f"{seconds.text(_hours)} h of {device}" for device, seconds in _elsewhere(prospects)
        )
        more = "" if known or not unknown else f"; {_cells(unknown)} unknown"
        begin = "In addition" if known else "Time to come"
        yield f"{begin}: about {about} for {_cells(len(elsewhere))}, by speeds measured elsewhere{more}."
        yield from _rows_elsewhere(plan)


def _rows_elsewhere(plan: Plan) -> Iterator[str]:
    """Which method's speed on which machine stands for how many cells."""
    groups: dict[tuple[str, str, bool, str], list[tuple[str, Expected]]] = {}
    for key, prospect in plan.prospects.items():
        if prospect.elsewhere:
            speed = prospect.elsewhere.speed
            other = speed.compute != plan.grid.resolve(key).compute
            groups.setdefault((key.method, speed.compute, other, speed.hardware), []).append(
                (key.task, prospect.elsewhere)
            )
    for (method, compute, other, hardware), found in groups.items():
        named = f"{method}, timed with the preset {compute}" if other else method
        others = sum(task != one.speed.task for task, one in found)
        by_others = f", {others} of them by another task" if others else ""
        epochs = Range(min(one.epochs.least for _, one in found), max(one.epochs.most for _, one in found))
        yield f"  {named}: {_cells(len(found))}{by_others}, on {hardware}; {epochs.text('{:,.0f}'.format)} epochs a cell"
    if any(one.epochs.least < one.epochs.most for group in groups.values() for _, one in group):
        yield "  Ranges: an epoch has one episode or more, and on some tasks episodes are short at first."


def _total(amount: str, known: int, others: int, unknown: int) -> str:
    """An estimate for `known` cells, `others` of which are estimated by other tasks."""
    if not known:
        return f"unknown for {_cells(unknown)}, as nothing was measured"
    by_others = f", {others} of them by their method on other tasks" if others else ""
    return f"{'at least ' if unknown else ''}{amount} for {_cells(known)}{by_others}{f'; {_cells(unknown)} unknown' if unknown else ''}"


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"


def _disk(plan: Plan) -> Iterator[str]:
    use, prospects = plan.use, list(plan.prospects.values())
    parts = (("checkpoints", use.checkpoints), ("records", use.records), ("others", use.others))
    whole = text_of_bytes(sum(size for _, size in parts))
    yield f"Disk: {plan.folder} takes {whole} ({', '.join(f'{name} {text_of_bytes(size)}' for name, size in parts)});"
    sizes = [prospect.size for prospect in prospects if prospect.size]
    need = sum(size.amount for size in sizes)
    if prospects:
        others = sum(not size.like for size in sizes)
        yield f"  to come: {_total(text_of_bytes(need), len(sizes), others, len(prospects) - len(sizes))};"
    yield f"  free: {text_of_bytes(plan.free)}."
    if need > plan.free:
        yield f"The disk will be full: make room for {text_of_bytes(need - plan.free)} more before the grid is run."


def _table(plan: Plan) -> Table:
    fates = Counter(cell.fate for cell in plan.cells)
    counts = ", ".join(f"{fates[fate]} {name}" for fate, name in FATES.items() if fates[fate])
    table = _plain_table(f"{_cells(len(plan.cells))}: {counts}")
    for name in (
        "suite",
        "method",
        "cells",
        "finished",
        "continue",
        "anew",
        "new",
        "hours to come",
        "disk to come",
    ):
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
    """For each suite, method and hardware.

    Number of cells, mean hours, mean hours for a million steps, mean size, hardware.
    """
    groups: dict[tuple[str, str, str, str], list[Measured]] = {}
    for cell in measured:
        groups.setdefault((cell.suite, cell.key.method, cell.device, cell.hardware), []).append(cell)
    for (suite, method, device, hardware), cells in groups.items():
        seconds = mean(cell.seconds for cell in cells)
        per_million = mean(cell.seconds / cell.budget for cell in cells) * 1e6
        sizes = [cell.size for cell in cells if cell.size is not None]
        size = text_of_bytes(mean(sizes)) if sizes else UNKNOWN
        yield (
            suite,
            method,
            str(len(cells)),
            _hours(seconds),
            _hours(per_million),
            size,
            f"{device}: {hardware}",
        )
