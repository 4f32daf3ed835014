"""A cell's event log as its page shows it: evaluations, and the logged numbers in groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

from dima.errors import UserError
from dima.record.events import Event, parse_events

MOST_POINTS = 200
"""Of a line in a small drawing; with more values, each point is the mean of several."""


class Evaluation(NamedTuple):
    """One evaluation: mean, least and greatest return of its episodes, None where one is not finite.

    `success` is the share of episodes that succeeded, None for tasks without success.
    """

    grid_step: int
    mean: float | None
    low: float | None
    high: float | None
    episodes: int
    success: float | None


@dataclass(frozen=True)
class ScalarGroup:
    """Numbers that are logged together.

    Attributes:
        name: of the group.
        count: how often it was logged.
        together: how many consecutive values each point averages, at the environment step of the last.
        steps: environment steps of the points.
        values: by name, one a point; None where a value of it is missing or not finite.
    """

    name: str
    count: int
    together: int
    steps: list[int]
    values: dict[str, list[float | None]]


@dataclass(frozen=True)
class CellLog:
    """The effective events of a cell's attempt."""

    evaluations: list[Evaluation]
    groups: list[ScalarGroup]


def read_log(content: bytes, place: str) -> CellLog:
    """The log in `content`; `place` names it in messages.

    Raises:
        UserError: a line before the last is cut off, or an event is not of this format.
    """
    evaluations: dict[int, list[Event]] = defaultdict(list)
    scalars: dict[str, list[Event]] = defaultdict(list)
    for event in parse_events(content, place):
        if event["kind"] == "evaluation" and _is_evaluation(event):
            evaluations[event["grid_step"]].append(event)
        elif event["kind"] == "scalars" and _is_group(event):
            scalars[event["group"]].append(event)
        elif event["kind"] in ("evaluation", "scalars"):
            raise UserError(f"{place} holds an event that is not of this format (seq {event['seq']}).")
    return CellLog(
        [_evaluation(step, episodes) for step, episodes in sorted(evaluations.items())],
        [_group(name, events) for name, events in scalars.items()],
    )


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_evaluation(event: Event) -> bool:
    return isinstance(event.get("grid_step"), int) and "return" in event and _is_number(event["return"])


def _is_group(event: Event) -> bool:
    values = event.get("values")
    named = isinstance(event.get("env_steps"), int) and isinstance(event.get("group"), str)
    return named and isinstance(values, dict) and all(map(_is_number, values.values()))


def _evaluation(step: int, episodes: Sequence[Event]) -> Evaluation:
    returns = [episode["return"] for episode in episodes]
    low, high = (None, None) if None in returns else (min(returns), max(returns))
    successes = [
        float(episode["success"]) for episode in episodes if isinstance(episode.get("success"), bool)
    ]
    count = episodes[0].get("episodes")
    episodes_of = count if isinstance(count, int) else len(returns)
    return Evaluation(step, _mean(returns), low, high, episodes_of, _mean(successes))


def _group(name: str, events: Sequence[Event]) -> ScalarGroup:
    together = ceil(len(events) / MOST_POINTS)
    bunches = [events[first : first + together] for first in range(0, len(events), together)]
    names = dict.fromkeys(value for event in events for value in event["values"])
    values = {
        value: [_mean(event["values"].get(value) for event in bunch) for bunch in bunches] for value in names
    }
    return ScalarGroup(name, len(events), together, [bunch[-1]["env_steps"] for bunch in bunches], values)


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean, None of no values or where one is None."""
    known = list(values)
    finite = [value for value in known if value is not None]
    return sum(finite) / len(finite) if finite and len(finite) == len(known) else None
