"""The targets of `benchmarks.gpu`: numbers, their bounds, and the verdict on what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from benchmarks.contenders import relative_error
from benchmarks.timing import VERDICT

Found = dict[str, Any]
FIRST, BEST, PLAIN, CELL = "first part, at toy size", "fast, graphs", "reference, eager", "cell"
TOGETHER, SERVED = "four seeds", "four seeds by MPS"
GRAPHS, AGAIN, FAST_EAGER = "reference, graphs", "reference, graphs, again", "fast, eager"
WARM, PEN = "fast, graphs, compiled before", "fast, graphs, pen"


class Target(NamedTuple):
    """A number computed from measurements.

    Attributes:
        what: in words, with the unit.
        needs: names of measurements, the arguments of `value`.
        value: of their results.
        bound: to reach; None: the number is only shown.
        must: a weaker bound that it has to reach in any case.
        at_least: the bounds are lower bounds.
        of_speed: meaningful only on a GPU at the paper's sizes.
    """

    what: str
    needs: tuple[str, ...]
    value: Callable[..., float]
    bound: float | None = None
    must: float | None = None
    at_least: bool = False
    of_speed: bool = True


def epoch(found: Found) -> float:
    """Median seconds of an epoch."""
    return statistics.median(found["epoch_seconds"])


def first_epoch(found: Found) -> float:
    """Seconds of the first epoch."""
    return found["first_epoch_seconds"]


def whole_cell_minutes(found: Found) -> float:
    """Minutes of the whole cell: its beginning and end as they were, its other steps at the steady pace."""
    seconds = found["seconds"]
    pace = seconds["steady"] / found["steady_env_steps"]
    return (seconds["until_warm"] + pace * found["remaining_env_steps_of_the_whole"] + seconds["after"]) / 60


def gigabytes(found: Found) -> float:
    """Most memory held."""
    return found["peak_bytes"]["held"] / 1e9


def slowest_over(together: Found, one: Found) -> float:
    """The longest time of seeds at once over that of one alone, for as many epochs."""
    return max(map(sum, together["epoch_seconds"])) / sum(one["epoch_seconds"])


def difference(one: Found, other: Found) -> float:
    """Largest relative error of a part's first losses, as one vector."""
    pairs = (
        (torch.tensor(losses), torch.tensor(other["losses"][part])) for part, losses in one["losses"].items()
    )
    return max(relative_error({"": ours}, {"": theirs}) for ours, theirs in pairs)


def weights_differ(one: Found, other: Found) -> bool:
    """Whether the same epochs left other bits."""
    return one["weights"] != other["weights"]


def times_faster(slow: Found, fast: Found) -> float:
    """How many epochs of the second fit into one of the first."""
    return epoch(slow) / epoch(fast)


TARGETS = (
    Target("seconds of an epoch's learning, fast with graphs", (BEST,), epoch, 0.5, 0.8),
    Target(
        "minutes of the whole cell, extrapolated, compilation included",
        (CELL,),
        whole_cell_minutes,
        11.0,
        15.0,
    ),
    Target("plain eager epoch (reference) over the first", (PLAIN, BEST), times_faster, 12.0, at_least=True),
    Target("four seeds at once over one, without MPS", (TOGETHER, BEST), slowest_over, 2.0),
    Target("four seeds at once over one, with MPS", (SERVED, BEST), slowest_over, 2.0),
    Target("GB of one seed without CUDA's context, fast with graphs", (BEST,), gigabytes, 4.0),
    Target("GB of one seed without CUDA's context, reference with graphs", (GRAPHS,), gigabytes, 4.0),
    Target("seconds of the first epoch, nothing compiled before", (BEST,), first_epoch, 45.0),
    Target("seconds of the first epoch, compiled before", (WARM,), first_epoch, 10.0),
    Target("seconds of an epoch's learning on pen, fast with graphs", (PEN,), epoch, 1.2),
    Target("parts that run as no graph, fast", (BEST,), lambda best: len(best["not_recorded"]), 0),
    Target("parts that run as no graph, reference", (GRAPHS,), lambda found: len(found["not_recorded"]), 0),
    Target(
        "host synchronisations in updates",
        (BEST,),
        lambda best: best["host_synchronisations"]["updates"],
        0,
        of_speed=False,
    ),
    Target(
        "reference with graphs, two runs: weights differ", (GRAPHS, AGAIN), weights_differ, 0, of_speed=False
    ),
    Target("reference, graphs and eager: weights differ", (GRAPHS, PLAIN), weights_differ),
    Target("reference, graphs and eager: first losses, relative", (GRAPHS, PLAIN), difference),
    Target("fast with graphs and plain eager: first losses, relative", (BEST, PLAIN), difference),
    Target("plain eager epoch (reference) over fast eager", (PLAIN, FAST_EAGER), times_faster),
    Target("plain eager epoch (reference) over reference with graphs", (PLAIN, GRAPHS), times_faster),
)


def reason_without(found: Found) -> str | None:
    """Why a measurement has no numbers; None if it has."""
    return found.get("missing") or found.get("failed")


def verdicts(found: Mapping[str, Found], *, comparable: bool) -> list[Found]:
    """A row for every target; if `comparable` (a GPU, the paper's sizes), also a verdict on speed."""
    rows = []
    for target in TARGETS:
        reasons = [f"{name}: {reason}" for name in target.needs if (reason := reason_without(found[name]))]
        value = None if reasons else float(target.value(*(found[name] for name in target.needs)))
        judged = value is not None and (comparable or not target.of_speed)
        row = {name: getattr(target, name) for name in ("what", "bound", "must", "at_least")} | {
            "value": value
        }
        met = {
            name: _meets(row, target.bound if name == "met" else target.must) if judged else None
            for name in ("met", "must_met")
        }
        rows.append(row | met | {"reason": "; ".join(reasons) or None})
    return rows


def _meets(row: Found, bound: float | None) -> bool | None:
    """Whether a row's value keeps to a bound; None without one."""
    if bound is None:
        return None
    return row["value"] >= bound if row["at_least"] else row["value"] <= bound


def row_line(row: Found) -> str:
    """A row of `verdicts` as a line of the table."""
    bound = "" if row["bound"] is None else f"{'at least' if row['at_least'] else 'at most'} {row['bound']:g}"
    must = "" if row["must"] is None else f" (must: {row['must']:g})"
    value = row["reason"] if row["value"] is None else f"{row['value']:.3g}"
    only_the_must = row["met"] is False and row["must_met"] is True
    return " | ".join(
        [row["what"], value, bound + must, "only what it must" if only_the_must else VERDICT[row["met"]]]
    )
