"""Which training recipe needs fewer environment steps than DIMA, by the rules of the grid `fewer-steps`.

python -m benchmarks.fewer_steps --from results
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from benchmarks.timing import command, print_head, write_result
from benchmarks.workload import CONFIG
from dima.analysis.records.load import CellRecord, load_cells, read_curve, read_evaluations
from dima.analysis.records.sources import records_in
from dima.analysis.returns.statistics import area_under_curve, mean_improvement
from dima.config.grid import Grid, load_grid
from dima.errors import UserError

GRID, BASE, RECIPE = "fewer-steps", "dima", "dima-swift"
PARTS = ("dima-swift-policy", "dima-swift-denoiser")
KEPT = (BASE, RECIPE, *PARTS)
SEEDS, SEEDS_AT_FIRST = 8, 3
LEAST_PROBABILITY = 0.75
STANDING_STILL = 0.0

Scores = Mapping[str, Mapping[int, float]]
"""Area under the learning curve by arm and seed."""


class Improvement(NamedTuple):
    """Probability, with its 95 % interval, that a seed of one arm scores higher than one of the other."""

    probability: float
    low: float
    high: float

    @property
    def beats(self) -> bool:
        """Rule 2."""
        return self.probability >= LEAST_PROBABILITY and self.low > 0.5


def score(record: CellRecord, steps: Sequence[int]) -> float | None:
    """Area under the learning curve at `steps`; None for a cell that has not ended.

    A diverged cell counts as standing still from then on.
    """
    if record.state not in ("completed", "diverged"):
        return None
    found = read_curve(record) if record.state == "completed" else read_evaluations(record)
    return area_under_curve(np.array(steps), np.array([found.get(step, STANDING_STILL) for step in steps]))


def read_scores(grid: Grid, places: Sequence[Path]) -> Scores:
    """The scores of all cells that have ended.

    Raises:
        UserError: a record cannot be trusted.
    """
    hashes = {key: grid.resolve(key).digest() for key in grid.cells}
    scores: dict[str, dict[int, float]] = {key.method: {} for key in grid.cells}
    for record in load_cells(grid, grid.cells, records_in(places, grid), hashes):
        task = grid.task(record.key.task)
        found = score(record, range(0, task.env_steps + 1, task.evaluation.every))
        if found is not None:
            scores[record.key.method][record.key.seed] = found
    return scores


def improvement(arm: Mapping[int, float], other: Mapping[int, float]) -> Improvement:
    """Of the seeds of an arm over those of another."""
    mean, (low, high) = mean_improvement([(_values(arm), _values(other))])
    return Improvement(mean, float(low), float(high))


def dropped(scores: Scores) -> list[str]:
    """Rule 3: the arms whose first seeds are all below all first seeds of another."""
    first = {
        arm: [seeds[seed] for seed in range(1, SEEDS_AT_FIRST + 1)]
        for arm, seeds in scores.items()
        if _has(seeds, SEEDS_AT_FIRST)
    }
    best = max((min(values) for values in first.values()), default=-np.inf)
    return [arm for arm, values in first.items() if arm not in KEPT and max(values) < best]


def winner(scores: Scores) -> str | None:
    """Rule 4. None where no arm wins, or where dima or an arm that is not dropped lacks seeds."""
    complete = [arm for arm in scores if _has(scores[arm], SEEDS)]
    if not set(scores) - set(dropped(scores)) <= set(complete):
        return None
    best = max(complete, key=lambda arm: _values(scores[arm]).mean())
    return best if best != BASE and improvement(scores[best], scores[BASE]).beats else None


def deciding_part(scores: Scores) -> str:
    """The last sentence of rule 4, in words."""
    if not all(_has(scores[arm], SEEDS) for arm in KEPT):
        return "undecided: seeds are missing"
    alone = [part for part in PARTS if improvement(scores[part], scores[BASE]).beats]
    enough = [part for part in alone if not improvement(scores[RECIPE], scores[part]).beats]
    if enough:
        return " and ".join(f"{part} alone does it" for part in enough)
    recipe = improvement(scores[RECIPE], scores[BASE]).beats
    return (
        f"it takes both parts ({len(alone)} of them alone beat {BASE})"
        if recipe
        else f"neither: {RECIPE} does not beat {BASE}"
    )


def conclude(scores: Scores) -> dict[str, Any]:
    """Every arm's scores and improvement over dima, the dropped arms, the winner and the deciding part."""
    arms = {
        arm: {
            "scores": dict(seeds),
            "mean": float(_values(seeds).mean()) if seeds else None,
            "over_dima": improvement(seeds, scores[BASE])._asdict()
            if seeds and scores[BASE] and arm != BASE
            else None,
        }
        for arm, seeds in scores.items()
    }
    return {"arms": arms, "dropped": dropped(scores), "winner": winner(scores), "part": deciding_part(scores)}


def _has(seeds: Mapping[int, float], count: int) -> bool:
    return set(range(1, count + 1)) <= set(seeds)


def _values(seeds: Mapping[int, float]) -> Float[np.ndarray, " seeds"]:
    return np.array([seeds[seed] for seed in sorted(seeds)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the arms and the verdict, write JSON."""
    parser = command(".fewer_steps", "Judge the arms of the grid fewer-steps.")
    parser.add_argument(
        "--from",
        dest="places",
        type=Path,
        nargs="+",
        default=[Path("results")],
        help="folders or archives of records (default: results)",
    )
    options = parser.parse_args(arguments)
    try:
        scores = read_scores(load_grid(GRID, CONFIG), options.places)
    except UserError as error:
        sys.exit(str(error))
    found = conclude(scores)
    print_head("arm | seeds | mean area | probability of improvement over dima")
    for arm, row in found["arms"].items():
        over = row["over_dima"]
        chance = f"{over['probability']:.2f} ({over['low']:.2f} to {over['high']:.2f})" if over else "-"
        mean = "-" if row["mean"] is None else f"{row['mean']:.0f}"
        name = f"{arm} (dropped)" if arm in found["dropped"] else arm
        print(f"{name} | {len(row['scores'])} | {mean} | {chance}")
    print(f"winner: {found['winner'] or 'none, or seeds are missing'}; {found['part']}")
    write_result(options.json, found)


if __name__ == "__main__":
    main()
