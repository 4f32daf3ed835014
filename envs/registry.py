"""The tasks by name. A new task is one module and one line in `TASKS`; its simulator is imported when it is first made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from envs.interface import BatchedEnvironment, MissingExtraError, UnknownPresetError, UnknownTaskError


@dataclass(frozen=True)
class Registration:
    """Where a task comes from; `factory` is "module:callable", called with task, num_envs, seed and preset."""

    suite: str
    factory: str
    extra: str | None = None

    def load(self) -> Callable[[str, int, int, str], BatchedEnvironment]:
        """Import the factory; raises ModuleNotFoundError when its simulator is not installed."""
        module, name = self.factory.split(":")
        return getattr(import_module(module), name)


PRESETS = ("paper",)

TASKS: Mapping[str, Registration] = {
    "push-mass": Registration("toy", "envs.push_mass:PushMass"),
    "halfcheetah-2x3": Registration("mamujoco", "envs.mamujoco:MultiAgentMujoco", extra="mujoco"),
}


def make(task: str, num_envs: int = 1, seed: int = 0, preset: str = "paper") -> BatchedEnvironment:
    """Build `num_envs` worlds of `task`; world j is seeded with `seed * 1000 + j`.

    Raises UnknownTaskError, UnknownPresetError, InvalidArgumentError (num_envs or seed), MissingExtraError.
    """
    if task not in TASKS:
        raise UnknownTaskError(_unknown("task", task, TASKS))
    if preset not in PRESETS:
        raise UnknownPresetError(_unknown("preset", preset, PRESETS))
    registration = TASKS[task]
    try:
        factory = registration.load()
    except ModuleNotFoundError as error:
        if registration.extra is None:
            raise
        message = f"task {task!r} needs {error.name}, which is not installed: pip install 'dima[{registration.extra}]'"
        raise MissingExtraError(message) from error
    return factory(task, num_envs, seed, preset)


def _unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    names = sorted(choices)
    nearest = get_close_matches(name, names, n=1)
    suggestion = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    return f"unknown {kind} {name!r}{suggestion}: choose one of {', '.join(names)}"
