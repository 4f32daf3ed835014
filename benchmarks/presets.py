"""Do the presets of computing learn the same? Final returns on push-mass, seeds of the grid `presets`.

    snakemake --cores 2 results/presets/tables/final_returns.csv
    python -m benchmarks.presets --json presets.json

`reference` is in float32, `fast` in bfloat16 where that is safe. Equal means here that the 95 % bootstrap
intervals of the two means overlap, over at least eight seeds. That does not prove that there is no
difference; the interval of the difference says how large it may be.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from benchmarks.timing import command, write_result
from benchmarks.workload import CONFIG
from dima.analysis.returns.statistics import bootstrap_interval, probability_of_improvement
from dima.config.grid import Grid, load_grid
from dima.record.files import read_json

METHODS = {"reference": "dima", "fast": "dima-fast"}
FEWEST_SEEDS = 8


def read_returns(grid: Grid, results: Path) -> dict[str, dict[int, float]]:
    """Final mean return by preset and seed.

    Raises:
        FileNotFoundError: a cell of the grid has no record.
        ValueError: a record is of another configuration than the grid's.
    """
    returns: dict[str, dict[int, float]] = {preset: {} for preset in METHODS}
    for key in grid.cells:
        path = results / grid.name / "cells" / key.folder / "summary.json"
        summary = read_json(path)
        if summary is None:
            raise FileNotFoundError(
                f"{path} is missing: snakemake --cores 2 results/presets/tables/final_returns.csv makes it."
            )
        if summary["config_hash"] != grid.resolve(key).digest():
            raise ValueError(f"{path} is of another configuration than the grid {grid.name} has now.")
        preset = next(preset for preset, method in METHODS.items() if method == key.method)
        returns[preset][key.seed] = summary["final"]["mean"]
    return returns


def compare(returns: Mapping[str, Mapping[int, float]]) -> dict[str, Any]:
    """Mean and interval of each preset, the interval of the difference over seeds, and the verdict."""
    values = {
        preset: np.array([by_seed[seed] for seed in sorted(by_seed)]) for preset, by_seed in returns.items()
    }
    intervals = {preset: _interval(found) for preset, found in values.items()}
    (low, high), (other_low, other_high) = intervals.values()
    return {
        "returns": {preset: dict(by_seed) for preset, by_seed in returns.items()},
        "mean": {preset: float(found.mean()) for preset, found in values.items()},
        "interval": intervals,
        "difference": {
            "mean": float(values["fast"].mean() - values["reference"].mean()),
            "interval": _difference(values),
        },
        "probability_that_fast_is_better": probability_of_improvement(values["fast"], values["reference"]),
        "seeds": {preset: len(found) for preset, found in values.items()},
        "overlap": low <= other_high and other_low <= high,
        "enough_seeds": min(map(len, values.values())) >= FEWEST_SEEDS,
    }


def _interval(values: Float[np.ndarray, " seeds"]) -> list[float]:
    return bootstrap_interval([values], lambda resampled: resampled.mean(axis=-1)).tolist()


def _difference(values: Mapping[str, Float[np.ndarray, " seeds"]]) -> list[float]:
    """Interval of the difference of the means, each side resampled by itself."""
    count = len(values["reference"])

    def difference(resampled: Float[np.ndarray, "resamples all_seeds"]) -> Float[np.ndarray, " resamples"]:
        return resampled[:, count:].mean(axis=-1) - resampled[:, :count].mean(axis=-1)

    return bootstrap_interval([values["reference"], values["fast"]], difference).tolist()


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, print, write JSON."""
    parser = command(".presets", "Compare final returns of the presets of computing.")
    parser.add_argument(
        "--from",
        dest="results",
        type=Path,
        default=Path("results"),
        help="folder of all grids (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        found = compare(read_returns(load_grid("presets", CONFIG), options.results))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    for preset, (low, high) in found["interval"].items():
        mean, seeds = found["mean"][preset], found["seeds"][preset]
        print(f"{preset}: {mean:.1f} ({low:.1f} to {high:.1f}) over {seeds} seeds")
    low, high = found["difference"]["interval"]
    print(f"fast minus reference: {found['difference']['mean']:.1f} ({low:.1f} to {high:.1f})")
    few = "" if found["enough_seeds"] else f", but there are fewer than {FEWEST_SEEDS} seeds"
    print(f"the intervals {'overlap' if found['overlap'] else 'do not overlap'}{few}")
    write_result(options.json, found)


if __name__ == "__main__":
    main()
