"""Steps a second of the Bi-DexHands port in many worlds: MuJoCo Warp and MuJoCo's own engine in one run.

    python -m benchmarks.hand_worlds --json hand_worlds.json

Control steps (two simulation steps each) with random actions, including observation, reward and restarts.
Absolute numbers mean something on a GPU only; on a CPU this shows that the command works.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import torch

from benchmarks.timing import command, seconds_of, write_result
from envs.bidexhands.environment import BiDexHands
from envs.bidexhands.presets import DEFAULT
from envs.bidexhands.tasks import KINDS
from envs.bidexhands.warp_environment import WarpBiDexHands

WARM_UP = 5


def measure(tasks: Sequence[str], worlds: Sequence[int], steps: int, device: torch.device) -> dict[str, Any]:
    """World steps a second by task and number of worlds; `engine`: MuJoCo's on all cores."""
    rows = []
    for task in tasks:
        engine_worlds = min(64, max(worlds))
        own = BiDexHands(task, engine_worlds, 0, DEFAULT)
        own.reset()
        engine = engine_worlds * _steps_per_second(
            lambda actions, own=own: own.step(actions.cpu().numpy()), engine_worlds, steps, device
        )
        own.close()
        for count in worlds:
            env = WarpBiDexHands(task, count, 0, DEFAULT, device)
            env.reset()
            rate = count * _steps_per_second(env.step, count, steps, device)
            row = {"task": task, "worlds": count, "warp": rate}
            rows.append(row | {"engine_worlds": engine_worlds, "engine": engine})
    return {
        "hardware": _hardware(device),
        "versions": {name: version(name) for name in ("mujoco", "mujoco-warp", "torch")},
        "rows": rows,
    }


def _steps_per_second(
    step: Callable[[torch.Tensor], object], worlds: int, steps: int, device: torch.device
) -> float:
    generator = torch.Generator(device).manual_seed(0)
    actions = torch.rand(WARM_UP + steps, worlds, 2, 26, generator=generator, device=device) * 2 - 1
    for action in actions[:WARM_UP]:
        step(action)

    def run() -> None:
        for action in actions[WARM_UP:]:
            step(action)

    return steps / seconds_of(run, device)


def _hardware(device: torch.device) -> str:
    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{platform.processor() or platform.machine()}, CPU"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = command(".hand_worlds", "Time the Bi-DexHands port in many worlds.")
    parser.add_argument("--tasks", nargs="+", choices=tuple(KINDS), default=tuple(KINDS))
    parser.add_argument("--worlds", nargs="+", type=int, default=(64, 512, 4096))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    result = measure(options.tasks, options.worlds, options.steps, torch.device(options.device))
    print(result["hardware"])
    for row in result["rows"]:
        ratio = row["warp"] / row["engine"]
        own = f"{ratio:7.2f} times MuJoCo's {row['engine_worlds']} worlds"
        print(f"{row['task']:20} {row['worlds']:6,} worlds {row['warp']:12,.0f} steps/s, {own}")
    write_result(options.json, result)


if __name__ == "__main__":
    main()
