"""What a cell's event log holds, as its page shows it: evaluations, and the logged numbers in groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

from dima.errors import UserError
from dima.record.events import Event, parse_events

MOST_POINTS = 200
"""Of a line of logged numbers: as many as a small drawing can show; the page says how many values a point is
the mean of."""


class Evaluation(NamedTuple):
    """One evaluation: mean, least and greatest return over `episodes` episodes.

    None where a return is not finite.

    `success` is the share of episodes that succeeded, None for a task that has no success.
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

    Attributes: name: of the group. count: how often it was logged. together: how many of these in a row each
        point is the mean of, at the environment step of the last of them. steps: environment steps of the
        points. values: by name, one a point; None where one of those that it is the mean of is absent or not
        finite.
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
        UserError: it is torn before its last line, or an event is not of this format.
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
    if (
        not isinstance(values, dict)
        or not isinstance(event.get("env_steps"), int)
        or not isinstance(event.get("group"), str)
    ):
        return False
    return all(map(_is_number, values.values()))


def _evaluation(step: int, episodes: Sequence[Event]) -> Evaluation:
    returns = [episode["return"] for episode in episodes]
    finite = [value for value in returns if value is not None]
    successes = [
        float(episode["success"]) for episode in episodes if isinstance(episode.get("success"), bool)
    ]
    count = episodes[0].get("episodes")
    return Evaluation(
        step,
        _mean(returns),
        min(finite) if len(finite) == len(returns) else None,
        max(finite) if len(finite) == len(returns) else None,
        count if isinstance(count, int) else len(returns),
        _mean(successes) if successes else None,
    )


def _group(name: str, events: Sequence[Event]) -> ScalarGroup:
    together = ceil(len(events) / MOST_POINTS)
    bunches = [events[first : first + together] for first in range(0, len(events), together)]
    names = dict.fromkeys(value for event in events for value in event["values"])
    values = {
        value: [_mean(event["values"].get(value) for event in bunch) for bunch in bunches] for value in names
    }
    return ScalarGroup(name, len(events), together, [bunch[-1]["env_steps"] for bunch in bunches], values)


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean; None where one value is."""
    known = list(values)
    finite = [value for value in known if value is not None]
    return sum(finite) / len(finite) if finite and len(finite) == len(known) else None
