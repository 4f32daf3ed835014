"""Action gains of an exactly trained denoiser, from MuJoCo's Jacobians: a prediction for `dima study gain`.

    python -m benchmarks.optimal_gain --json gains.json

Every order, offset noise, deviation of the actions and amplitude of the gait has a row.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.timing import write_result
from dima.config import SamplerConfig
from dima.config.grid import CellKey, load_grid
from dima.studies.gain import CHANGE
from dima.studies.optimal_gain import gait_jacobians, optimal_gains, revealed_by
from dima.world_model.noise import sampling_noise_levels

TASKS = ("halfcheetah-2x3", "halfcheetah-6x1", "ant-2x4")
OFFSETS = (0.3, 0.0)
"""Of the release, and of the paper's text."""


def rows(task: str, amplitude: float, deviation: float, worlds: int, seed: int) -> list[dict[str, Any]]:
    """The gains of every agent by order and offset noise, with sequential conditioning."""
    sampler = load_grid("paper").resolve(CellKey(task, "dima", 1)).parameters.sampler
    jacobians, effect = gait_jacobians(task, amplitude, deviation, CHANGE, worlds, seed)
    found = []
    for name, order in orders(sampler, jacobians.shape[1]).items():
        sigmas = sampling_noise_levels(len(order), sampler).double().numpy()
        revealed = revealed_by("sequential", order, jacobians.shape[1])
        for offset in OFFSETS:
            gains = optimal_gains(jacobians, deviation, revealed, sigmas, offset)
            found.append(
                {"task": task, "amplitude": amplitude, "deviation": deviation, "order": name}
                | {
                    "offset_noise": offset,
                    "gains": gains.round(3).tolist(),
                    "effect": effect.round(4).tolist(),
                }
            )
    return found


def orders(sampler: SamplerConfig, agents: int) -> dict[str, tuple[int, ...]]:
    """The paper's order and its reverse, agents from 0; of two agents also the mirrored one."""
    turns = sampler.steps_for(agents) // agents
    ascending = tuple(agent for agent in range(agents) for _ in range(turns))
    found = {"descending": ascending[::-1], "ascending": ascending}
    return found | ({"(2, 1, 1, 2)": (1, 0, 0, 1)} if agents == 2 else {})


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute, print a table, and write JSON if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimal_gain", description=__doc__)
    parser.add_argument("--task", nargs="+", default=TASKS, help="of these tasks (default: %(default)s)")
    parser.add_argument("--amplitude", nargs="+", type=float, default=(0.3, 0.8), help="of the gait's waves")
    parser.add_argument("--deviation", nargs="+", type=float, default=(0.36, 0.15), help="of the actions")
    parser.add_argument("--worlds", type=int, default=200, help="states (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of gait and worlds (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write this file")
    options = parser.parse_args(arguments)
    found = [
        row
        for task in options.task
        for amplitude in options.amplitude
        for deviation in options.deviation
        for row in rows(task, amplitude, deviation, options.worlds, options.seed)
    ]
    print("| task | gait | deviation | order | offset | gain of agent 1, 2, ... |")
    print("|---|---|---|---|---|---|")
    for row in found:
        cells = [row[name] for name in ("task", "amplitude", "deviation", "order", "offset_noise")]
        print("|", " | ".join([*map(str, cells), ", ".join(f"{gain:.2f}" for gain in row["gains"])]), "|")
    if options.json:
        write_result(options.json, {"worlds": options.worlds, "seed": options.seed, "rows": found})


if __name__ == "__main__":
    main()
