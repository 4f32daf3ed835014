"""MAMuJoCo's CPU time compared with gymnasium's vector environments, HARL-style ones and gymnasium-robotics.

    python -m benchmarks.environments --json environments.json

For every task, pairs of runs alternate in one process; a ratio is the other's CPU time, its worker processes
included, over ours for the same actions in as many worlds. The preset gymnasium-robotics is compared with
that package's own environments.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv
from gymnasium_robotics import mamujoco_v1

import envs
from benchmarks.timing import command, print_head, shown, spread, write_result
from envs.mujoco_process import as_python_warnings

ROBOTS = {  # gymnasium's robot with the rules of the preset `paper`, and the zeros that its state ends in
    "ant": ("Ant-v5", {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0}, 84),
    "halfcheetah": ("HalfCheetah-v5", {}, 0),
    "walker2d": ("Walker2d-v5", {"xml_file": "walker2d.xml"}, 0),
}
SCENARIOS = {"ant": "Ant", "halfcheetah": "HalfCheetah", "walker2d": "Walker2d"}
TASKS = tuple(task for task, entry in envs.TASKS.items() if entry.suite == "mamujoco")


class Contender(AbstractContextManager["Contender"]):
    """Worlds that start at their seeds when made, and give the agents' observations after every step."""

    workers: Sequence[int] = ()

    def step(self, actions: np.ndarray) -> np.ndarray:
        """Actions [worlds, agents, action] to observations [worlds, agents, observation]."""
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        """Release what is held."""


class Ours(Contender):
    """What this project offers."""

    def __init__(self, task: str, preset: str, worlds: int) -> None:
        self._env = envs.make(task, worlds, preset=preset)
        self._env.reset()

    def step(self, actions: np.ndarray) -> np.ndarray:
        return self._env.step(actions).obs

    def __exit__(self, *_: object) -> None:
        self._env.close()


class Vector(Contender):
    """Gymnasium's vector environment, its states turned into observations for the whole batch."""

    def __init__(self, task: str, worlds: int, mode: str) -> None:
        robot, arguments, self._zeros = ROBOTS[task.split("-")[0]]
        same_step = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self._env: VectorEnv = gymnasium.make_vec(robot, worlds, mode, vector_kwargs=same_step, **arguments)
        self._env.reset(seed=0)
        if isinstance(self._env.unwrapped, AsyncVectorEnv):
            self.workers = [process.pid for process in self._env.unwrapped.processes if process.pid]

    def step(self, actions: np.ndarray) -> np.ndarray:
        worlds, agents, _ = actions.shape
        state, *_ = self._env.step(actions.reshape(worlds, -1))
        state = np.concatenate([state, np.zeros((worlds, self._zeros))], axis=1)
        ids = np.broadcast_to(np.eye(agents), (worlds, agents, agents))
        features = np.concatenate([np.repeat(state[:, None], agents, axis=1), ids], axis=2)
        scaled = (features - features.mean(axis=2, keepdims=True)) / features.std(axis=2, keepdims=True)
        return scaled.astype(np.float32)

    def __exit__(self, *_: object) -> None:
        self._env.close()


class Single(Contender):
    """Gymnasium's environments in turn; id and scaling are added agent by agent, as in HARL's wrapper."""

    def __init__(self, task: str, worlds: int) -> None:
        robot, arguments, self._zeros = ROBOTS[task.split("-")[0]]
        self._envs = [gymnasium.make(robot, disable_env_checker=True, **arguments) for _ in range(worlds)]
        for world, env in enumerate(self._envs):
            env.reset(seed=world)

    def step(self, actions: np.ndarray) -> np.ndarray:
        agents = actions.shape[1]
        ids, seen = np.eye(agents), []
        for env, action in zip(self._envs, actions, strict=True):
            state, _, terminated, truncated, _ = env.step(np.concatenate(action))
            if terminated or truncated:
                state, _ = env.reset()
            state = np.concatenate([state, np.zeros(self._zeros)])
            for agent in range(agents):
                features = np.concatenate([state, ids[agent]])
                seen.append((features - np.mean(features)) / np.std(features))
        return np.stack(seen).reshape(len(actions), agents, -1).astype(np.float32)

    def __exit__(self, *_: object) -> None:
        for env in self._envs:
            env.close()


class Parallel(Contender):
    """The environments of gymnasium-robotics in turn, their dicts of equal views turned into arrays."""

    def __init__(self, task: str, worlds: int) -> None:
        robot, split = task.split("-")
        self._envs = [mamujoco_v1.parallel_env(SCENARIOS[robot], split) for _ in range(worlds)]
        for world, env in enumerate(self._envs):
            env.reset(seed=world)

    def step(self, actions: np.ndarray) -> np.ndarray:
        seen = []
        for env, action in zip(self._envs, actions, strict=True):
            agents = env.possible_agents
            views, _, terminated, truncated, _ = env.step(dict(zip(agents, action, strict=True)))
            if terminated[agents[0]] or truncated[agents[0]]:
                views, _ = env.reset()
            seen.append([views[agent] for agent in agents])
        return np.array(seen, dtype=np.float32)

    def __exit__(self, *_: object) -> None:
        for env in self._envs:
            env.close()


class Rival(NamedTuple):
    """Another source of the same observations: `make` takes a task and a number of worlds."""

    name: str
    preset: str
    make: Callable[[str, int], Contender]
    tasks: Sequence[str] = TASKS


RIVALS = (
    Rival("gymnasium, sync", "paper", lambda task, worlds: Vector(task, worlds, "sync")),
    Rival("gymnasium, async", "paper", lambda task, worlds: Vector(task, worlds, "async")),
    Rival("HARL-style", "paper", Single),
    Rival(
        "gymnasium-robotics",
        "gymnasium-robotics",
        Parallel,
        ("ant-2x4", "ant-4x2", "halfcheetah-2x3", "walker2d-2x3"),
    ),
)


def compare(task: str, rival: Rival, worlds: int, steps: int, pairs: int) -> dict[str, Any]:
    """The rival's CPU time over ours (`spread`), from `pairs` pairs of `steps` steps in `worlds` worlds."""
    with as_python_warnings(dropped="settotalmass"):
        theirs = rival.make(task, worlds)  # first, because it may fork
        ours = Ours(task, rival.preset, worlds)
    with ours, theirs:
        spec = envs.make(task, preset=rival.preset).spec
        shape = (pairs + 1, steps, worlds, spec.n_agents, spec.act_dim)
        actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        for action in actions[0]:  # warm-up, and the check that this is the same task
            np.testing.assert_allclose(ours.step(action), theirs.step(action), rtol=0, atol=1e-5)
        ratios = []
        for pair, chunk in enumerate(actions[1:]):
            order = (ours, theirs) if pair % 2 else (theirs, ours)
            seconds = {contender: _cpu_seconds(contender, chunk) for contender in order}
            ratios.append(seconds[theirs] / seconds[ours])
    return {
        "task": task,
        "preset": rival.preset,
        "rival": rival.name,
        "worlds": worlds,
        "steps": steps,
        "pairs": pairs,
    } | spread(ratios)


def _cpu_seconds(contender: Contender, actions: np.ndarray) -> float:
    def clock() -> float:
        return time.process_time() + sum(time.clock_gettime(clock_of(worker)) for worker in contender.workers)

    started = clock()
    for action in actions:
        contender.step(action)
    return clock() - started


def clock_of(process: int) -> int:
    """The clock that counts a process' CPU time on Linux (clock_getcpuclockid)."""
    return (~process << 3) | 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = command(".environments", "Compare MAMuJoCo's CPU time with other environments.")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument(
        "--worlds", nargs="+", type=int, default=(1, 10, 64), help="numbers of worlds (default: 1 10 64)"
    )
    parser.add_argument(
        "--steps", type=int, default=2000, help="of one run, summed over worlds (default: %(default)s)"
    )
    parser.add_argument("--pairs", type=int, default=7, help="pairs of runs (default: %(default)s)")
    options = parser.parse_args(arguments)
    print_head("CPU time over ours | task | preset | worlds | median (least to greatest)")
    rows = []
    for worlds in options.worlds:
        for task in options.tasks:
            for rival in RIVALS:
                if task in rival.tasks:
                    row = compare(task, rival, worlds, max(1, options.steps // worlds), options.pairs)
                    rows.append(row)
                    words = [row["rival"], task, row["preset"], str(worlds), shown(row, ".2f")]
                    print(" | ".join(words), flush=True)
    write_result(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
