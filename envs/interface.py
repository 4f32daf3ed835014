"""What every environment offers: B worlds stepped together, n agents and one shared reward in each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

SimState = dict[str, Any]
"""What a simulation continues from bit for bit: arrays, ints and strings in nested dicts with string keys."""


class EnvironmentsError(ValueError):
    """Base of this package's errors; the message is one sentence for the user."""


class UnknownTaskError(EnvironmentsError):
    """The task is not registered."""


class UnknownPresetError(EnvironmentsError):
    """The task has no such preset."""


class UnknownEngineError(EnvironmentsError):
    """The task does not run in such an engine."""


class MissingExtraError(EnvironmentsError):
    """The task's simulator is not installed."""


class InvalidArgumentError(EnvironmentsError):
    """A number of worlds, a seed, a shape or an order of calls that cannot be used."""


class MissingGraphicsError(EnvironmentsError):
    """There is no OpenGL library to render with, or the task has no drawing."""


class UntoldStateError(EnvironmentsError):
    """The task's observations do not determine its state."""


class NonFiniteError(EnvironmentsError):
    """An action, state or reward is NaN or infinite in `world` at `step` of its episode (`worlds`: in all).

    A non-finite action stops the step before anything moves, and `result` is None. If a simulation broke,
    `result` is the step of the other worlds; the broken one has begun a new episode, and its row is
    truncated, with reward 0 and the simulation's numbers in `final_obs` and `final_state`.
    """

    def __init__(
        self, message: str, worlds: Sequence[int], step: int, result: StepResult | None = None
    ) -> None:
        super().__init__(message)
        self.worlds = tuple(worlds)
        self.world = self.worlds[0]
        self.step = step
        self.result = result

    def __reduce__(self) -> tuple[type[NonFiniteError], tuple[str, tuple[int, ...], int, StepResult | None]]:
        """Its arguments, for another process."""
        return type(self), (str(self), self.worlds, self.step, self.result)


class EngineError(EnvironmentsError):
    """The simulator cannot continue, for instance because its process ended."""


class CrowdedError(NonFiniteError):
    """A NonFiniteError of a world that had more contacts than its engine has room for."""


class SimStateMismatchError(EnvironmentsError):
    """A saved simulation state belongs to another task, preset, lineage or number of worlds."""


class UnsupportedSimStateError(EnvironmentsError):
    """The simulator cannot save and restore its state, so nothing that runs in it can be resumed exactly."""


@dataclass(frozen=True)
class EnvSpec:
    """The sizes and origin of an environment; `episode_limit` counts steps.

    `engine` is the simulator with its version; returns are comparable within one task, preset and `lineage`.
    """

    task: str
    suite: str
    n_agents: int
    obs_dim: int
    state_dim: int
    act_dim: int
    episode_limit: int
    engine: str
    lineage: str
    preset: str


class StepResult(NamedTuple):
    """One step of every world; after an end, `obs` and `state` are the first of the next episode.

    `terminated`: the task ended the episode; `truncated`: the episode limit did; never both. `info` has
    `final_obs` [B, n, o] and `final_state` [B, s], the true successors of this step; `episode_return`
    (float64) and `episode_length` (int64) [B] of the episode so far, this step included; `success` [B] bool,
    if the task defines it.
    """

    obs: Float[np.ndarray, "batch agents observation"]
    state: Float[np.ndarray, "batch state"]
    reward: Float[np.ndarray, " batch"]
    terminated: Bool[np.ndarray, " batch"]
    truncated: Bool[np.ndarray, " batch"]
    info: dict[str, np.ndarray]


class Played(NamedTuple):
    """T consecutive steps of one episode of the only world.

    `state` [T + 1, s]: before each step, and the true successor of the last. `observation` [T, n, o],
    `action` [T, n, a], `reward` [T]: of each step. `terminated`, `truncated`: how the last step ended the
    episode, if it did. `episode_return`: so far, summed in float64. `next_obs` [1, n, o], `next_state` [1,
    s]: where the next step begins, in the next episode if this one ended.
    """

    state: Float[np.ndarray, "states state"]
    observation: Float[np.ndarray, "time agents observation"]
    action: Float[np.ndarray, "time agents action"]
    reward: Float[np.ndarray, " time"]
    terminated: bool
    truncated: bool
    episode_return: float
    next_obs: Float[np.ndarray, "1 agents observation"]
    next_state: Float[np.ndarray, "1 state"]


Acting = Callable[[Float[np.ndarray, "1 agents observation"], int], Float[np.ndarray, "1 agents action"]]
"""The action for an observation; the number counts the steps of one `BatchedEnvironment.play` from 0."""


class BatchedEnvironment(ABC):
    """B independent worlds of one task.

    World j draws from its own random stream, seeded with `seed * 1000 + j`.
    """

    spec: EnvSpec
    num_envs: int
    steps_per_second: float = 10.0
    """Steps in a second of simulated time; 10 for a task without units."""
    observation_bound: float = np.inf
    """No entry of an observation or a state is larger in size."""
    starts_afresh: bool = False
    """Whether worlds after `reset(seed)` are those of a new environment with this seed, bit for bit."""

    @abstractmethod
    def reset(
        self, seed: int | None = None
    ) -> tuple[Float[np.ndarray, "batch agents observation"], Float[np.ndarray, "batch state"]]:
        """Start a new episode in every world and return (obs, state); without a seed, streams continue."""

    @abstractmethod
    def step(self, actions: Float[np.ndarray, "batch agents action"]) -> StepResult:
        """Advance every world by one step; a world whose episode ends starts its next one in the same call.

        Raises InvalidArgumentError (shape, no reset yet), and NonFiniteError, after which the others can go
        on.
        """

    def play(
        self,
        act: Acting,
        steps: int,
        obs: Float[np.ndarray, "batch agents observation"],
        state: Float[np.ndarray, "batch state"],
    ) -> Played:
        """Step the only world from its last (obs, state) until its episode ends, at most `steps` times.

        The same numbers as from `step`, bit for bit, and the same errors. An environment may check for
        non-finite numbers after all steps; it then raises after the end, with a new episode begun.
        """
        if self.num_envs != 1:
            raise InvalidArgumentError(f"play steps a single world, this environment has {self.num_envs}")
        now, observations, actions, results = obs, [], [], list[StepResult]()
        for step in range(steps):
            observations.append(now)
            actions.append(np.asarray(act(now, step), dtype=np.float32))
            results.append(self.step(actions[-1]))
            now = results[-1].obs
            if results[-1].terminated[0] or results[-1].truncated[0]:
                break
        last = results[-1]
        return Played(
            state=np.concatenate([state, *(result.info["final_state"] for result in results)]),
            observation=np.concatenate(observations),
            action=np.concatenate(actions),
            reward=np.concatenate([result.reward for result in results]),
            terminated=bool(last.terminated[0]),
            truncated=bool(last.truncated[0]),
            episode_return=float(last.info["episode_return"][0]),
            next_obs=last.obs,
            next_state=last.state,
        )

    @abstractmethod
    def get_sim_state(self) -> SimState:
        """A copy of what the simulation and its random streams continue from bit for bit.

        Raises UnsupportedSimStateError, like `set_sim_state`, in an engine that cannot do it.
        """

    @abstractmethod
    def set_sim_state(self, saved: SimState) -> None:
        """Continue from `get_sim_state()`.

        Raises SimStateMismatchError: it is of another task, preset, lineage or number of worlds.
        """

    def render(
        self, world: int = 0, height: int = 240, width: int = 320
    ) -> UInt8[np.ndarray, "height width 3"]:
        """A picture of one world as it is now, in RGB.

        Raises InvalidArgumentError (no such world) and MissingGraphicsError.
        """
        raise MissingGraphicsError(f"{self.spec.task} draws no pictures in engine {self.spec.engine}")

    def render_states(
        self, states: Float[np.ndarray, "time state"], height: int = 240, width: int = 320
    ) -> UInt8[np.ndarray, "time height width 3"]:
        """Pictures of consecutive, perhaps predicted global states, in RGB. Raises like `render`.

        What a state leaves out, such as the distance covered by a robot, is integrated from 0.
        """
        raise MissingGraphicsError(f"{self.spec.task} draws no pictures in engine {self.spec.engine}")

    def states_seen(
        self, observations: Float[np.ndarray, "time agents observation"]
    ) -> Float[np.ndarray, "time state"]:
        """The global states (float64) behind perhaps predicted observations.

        Raises UntoldStateError, if observations do not determine them, and InvalidArgumentError (shape).
        """
        raise UntoldStateError(
            f"the observations of {self.spec.task} with preset {self.spec.preset} do not determine its state"
        )

    @abstractmethod
    def close(self) -> None:
        """Release what the engine holds."""
