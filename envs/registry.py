"""The tasks by name; a new task is a module, `workflow/config/tasks/<task>.yaml` and one line in `TASKS`.

Importing this loads no simulator: an engine's module is imported when a task is first made in it.
`push-mass-N`, for N agents, is for studies of cost: it can be made but is in no table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from envs.bidexhands.presets import FORMER_NAMES, presets
from envs.graphics import import_mujoco
from envs.interface import (
    BatchedEnvironment,
    EnvironmentsError,
    MissingExtraError,
    UnknownEngineError,
    UnknownPresetError,
    UnknownTaskError,
)
from envs.retry import tried_again


@dataclass(frozen=True)
class Engine:
    """A simulator that runs a task.

    `factory` is "module:callable", called with task, num_envs, seed and preset; `extra` names its optional
    dependencies; `caveat` is what readers of its numbers have to know; `presets` replace the task's.
    """

    factory: str
    extra: str | None = None
    caveat: str = ""
    presets: tuple[str, ...] = ()

    def load(self) -> Callable[[str, int, int, str], BatchedEnvironment]:
        """Import the factory.

        Raises ModuleNotFoundError (its simulator is not installed) and MissingGraphicsError.
        """
        if self.extra in ("mujoco", "gpu"):
            import_mujoco()
        return imported(self.factory)


@dataclass(frozen=True)
class Registration:
    """A task: its suite, and its engines and presets, of which the first are the defaults.

    `former_presets` are names of presets in earlier records. `controller` is "module:callable", which makes
    the scripted controller of an `EnvSpec` (`envs.scripted`), for one of `controlled_presets`.
    """

    suite: str
    engines: Mapping[str, Engine]
    presets: tuple[str, ...] = ("paper",)
    former_presets: tuple[str, ...] = ()
    controller: str | None = None
    controlled_presets: tuple[str, ...] = ("paper",)


_PUSH_MASS = {"numpy": Engine("envs.push_mass:PushMass")}
_TOY = Registration("toy", _PUSH_MASS, controller="envs.scripted:push")
_MAMUJOCO = Registration(
    "mamujoco",
    {"mujoco": Engine("envs.mamujoco:MultiAgentMujoco", extra="mujoco")},
    presets=("paper", "gymnasium-robotics"),
    controller="envs.scripted:gait",
)
_HAND_ENGINES = {
    "mujoco": Engine(
        "envs.bidexhands.environment:BiDexHands",
        extra="mujoco",
        caveat="the port shares observation, action and reward definitions with Bi-DexHands, "
        "not the contact physics",
    ),
    "mujoco-warp": Engine(
        "envs.bidexhands.warp_environment:WarpBiDexHands",
        extra="gpu",
        caveat="in torch tensors; not run on a GPU by us",
    ),
    "isaacgym": Engine(
        "envs.isaac_bridge.client:IsaacGymEnvironment",
        caveat="not run against Isaac Gym by us",
        presets=("paper",),
    ),
}
_HANDS = Registration(
    "bidexhands",
    _HAND_ENGINES,
    presets(),
    tuple(FORMER_NAMES),
    controller="envs.bidexhands.scripts:Player",
    controlled_presets=(*sorted(presets()), *FORMER_NAMES),  # "paper" is also Isaac Gym's
)

TASKS: Mapping[str, Registration] = {
    "push-mass": _TOY,
    "push-mass-coupled": _TOY,
    "ant-2x4": _MAMUJOCO,
    "ant-4x2": _MAMUJOCO,
    "halfcheetah-2x3": _MAMUJOCO,
    "halfcheetah-3x2": _MAMUJOCO,
    "halfcheetah-6x1": _MAMUJOCO,
    "walker2d-2x3": _MAMUJOCO,
    "walker2d-3x2": _MAMUJOCO,
    "bottle-cap": _HANDS,
    "door-open-inward": _HANDS,
    "door-open-outward": _HANDS,
    "pen": _HANDS,
}

TEAM_SIZES = range(2, 65)
TEAMS: Mapping[str, Registration] = {
    f"push-mass-{agents}": Registration("toy", _PUSH_MASS) for agents in TEAM_SIZES
}


def make(
    task: str, num_envs: int = 1, seed: int = 0, preset: str | None = None, engine: str | None = None
) -> BatchedEnvironment:
    """Build `num_envs` worlds of `task` in `engine` with `preset` (None: the first).

    World j is seeded with `seed * 1000 + j`: more than 1,000 worlds share seeds with the next `seed`. Passing
    faults, such as of MuJoCo's loader once in a thousand times, are retried.

    Raises UnknownTaskError, UnknownPresetError, UnknownEngineError, InvalidArgumentError (num_envs or seed),
    MissingExtraError, and MissingGraphicsError where MUJOCO_GL keeps MuJoCo from being imported.
    """
    registration = TASKS.get(task) or TEAMS.get(task)
    if registration is None and task.startswith("push-mass-"):
        first, last = TEAM_SIZES[0], TEAM_SIZES[-1]
        teams = f"push-mass-{first} to push-mass-{last}, by the number of agents"
        raise UnknownTaskError(f"unknown task {task!r}: choose push-mass-coupled, or one of {teams}")
    if registration is None:
        raise UnknownTaskError(_unknown("task", task, TASKS))
    name = next(iter(registration.engines)) if engine is None else engine
    if name not in registration.engines:
        raise UnknownEngineError(_unknown(f"engine of {task}", name, registration.engines))
    chosen = registration.engines[name]
    preset = _preset(task, registration, name, preset)
    try:
        return tried_again(lambda: chosen.load()(task, num_envs, seed, preset), _may_pass)
    except ModuleNotFoundError as error:
        if chosen.extra is None:
            raise
        needs = f"task {task!r} in engine {name!r} needs {error.name}"
        raise MissingExtraError(
            f"{needs}, which is not installed: pip install -e '.[{chosen.extra}]'"
        ) from error


def imported(path: str) -> Callable[..., Any]:
    """What `path`, "module:callable", names."""
    module, name = path.split(":")
    return getattr(import_module(module), name)


def _preset(task: str, registration: Registration, engine: str, asked: str | None) -> str:
    """The preset that is asked for, or the first one. Raises UnknownPresetError."""
    own = registration.engines[engine].presets
    choices, former = (own, ()) if own else (registration.presets, registration.former_presets)
    if asked is None:
        return choices[0]
    if asked not in (*choices, *former):
        where = f"{task} in engine {engine}" if own else task
        raise UnknownPresetError(_unknown(f"preset of {where}", asked, choices))
    return asked


def _may_pass(error: Exception) -> bool:
    """Whether a retry may help: it is neither a refusal nor a missing package."""
    return not isinstance(error, EnvironmentsError | ImportError)


def _unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    names = sorted(choices)
    nearest = get_close_matches(name, names, n=1)
    suggestion = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    return f"unknown {kind} {name!r}{suggestion}: choose one of {', '.join(names)}"
