"""The registered tasks as a table, from the registry and the environments."""

from __future__ import annotations

from collections.abc import Iterator

from envs.interface import MissingExtraError, MissingGraphicsError
from envs.registry import TASKS, Engine, Registration, make

COLUMNS = (
    "task",
    "preset",
    "suite",
    "agents",
    "observation",
    "state",
    "action",
    "steps",
    "engine",
    "lineage",
)
NUMBERS = frozenset({"agents", "observation", "state", "action", "steps"})


def plain_text() -> str:
    """The table in columns for a terminal, and the engines' caveats below it."""
    rows = [COLUMNS, *_rows()]
    widths = [
        max(len(row[column]) for row in rows if len(row) == len(COLUMNS)) for column in range(len(COLUMNS))
    ]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if name in NUMBERS and len(row) == len(COLUMNS) else cell.ljust(width)
            for cell, name, width in zip(row, COLUMNS, widths, strict=False)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, *([""] if _caveats() else []), *_caveats()])


def markdown() -> str:
    """The table for the README, and the engines' caveats as a list below it."""
    header = [_line(COLUMNS), _line("---:" if name in NUMBERS else "---" for name in COLUMNS)]
    rows = [_line((f"`{task}`", *cells, *[""] * (len(COLUMNS) - 1 - len(cells)))) for task, *cells in _rows()]
    caveats = [f"- {caveat}" for caveat in _caveats()]
    return "\n".join([*header, *rows, *([""] if caveats else []), *caveats])


def _line(cells: Iterator[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _rows() -> Iterator[tuple[str, ...]]:
    """A row for each task and preset, in the registry's order; a short one if its extra is not installed."""
    for task, registration in TASKS.items():
        for preset in registration.presets:
            yield (task, preset, registration.suite, *_facts(task, preset, registration))


def _facts(task: str, preset: str, registration: Registration) -> tuple[str, ...]:
    name, engine = next(iter(registration.engines.items()))
    try:
        environment = make(task, preset=preset)
    except MissingExtraError:
        return (f"not installed: pip install -e '.[{engine.extra}]'",)
    except MissingGraphicsError as error:
        return (str(error),)
    spec = environment.spec
    environment.close()
    others = "".join(
        f", {other} ({_note(entry)})" for other, entry in registration.engines.items() if other != name
    )
    numbers = (spec.n_agents, spec.obs_dim, spec.state_dim, spec.act_dim, spec.episode_limit)
    return (*map(str, numbers), f"{spec.engine}{others}", spec.lineage)


def _note(engine: Engine) -> str:
    """An engine's own presets and its caveat."""
    return "; ".join([*(f"preset {preset}" for preset in engine.presets), engine.caveat])


def _caveats() -> list[str]:
    """One line for each caveat of a first engine, with its tasks."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for task, registration in TASKS.items():
        name, engine = next(iter(registration.engines.items()))
        if engine.caveat:
            tasks.setdefault((name, engine.caveat), []).append(task)
    return [f"{', '.join(names)} in {engine}: {caveat}" for (engine, caveat), names in tasks.items()]
