"""Seeds, checks, episode bookkeeping and same-step autoreset, shared by the environments that run on the
CPU.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from envs.interface import (
    Acting,
    BatchedEnvironment,
    EnvSpec,
    InvalidArgumentError,
    NonFiniteError,
    Played,
    SimState,
    SimStateMismatchError,
    StepResult,
)


class EpisodicEnvironment(BatchedEnvironment):
    """A batched environment around six hooks.

    The engine's random draws all come from `self._random`, one stream a world.
    """

    def __init__(self, spec: EnvSpec, num_envs: int, seed: int) -> None:
        if not _is_whole(num_envs) or num_envs < 1:
            raise InvalidArgumentError(f"num_envs is {num_envs!r}, it must be a whole number of at least 1")
        self.spec = spec
        self.num_envs = num_envs
        self._random = [np.random.default_rng(0) for _ in range(num_envs)]
        self._seed_worlds(seed)
        self._returns = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, dtype=np.int64)
        self._started = False

    @abstractmethod
    def _begin_episodes(self, worlds: Int[np.ndarray, " ended"]) -> None:
        """Draw initial states for the worlds with these indices."""

    @abstractmethod
    def _advance(
        self, actions: Float[np.ndarray, "batch agents action"]
    ) -> tuple[Float[np.ndarray, " batch"], Bool[np.ndarray, " batch"]]:
        """Step the engine; returns the rewards and where the task ended the episode."""

    def _engine_settings(self) -> AbstractContextManager[object]:
        """What has to hold while `_advance` is called; entered once for many calls."""
        return nullcontext()

    def _task_info(self) -> dict[str, np.ndarray]:
        """What the step's `info` says beyond the shared entries, before an ended episode gives way to the
        next: `success`.
        """
        return {}

    @abstractmethod
    def _engine_state(self) -> Float[np.ndarray, "batch state"]:
        """The global state of every world in the engine's precision."""

    @abstractmethod
    def _observe(
        self, state: Float[np.ndarray, "batch state"]
    ) -> Float[np.ndarray, "batch agents observation"]:
        """What each agent sees of that global state."""

    @abstractmethod
    def _save_engine(self) -> dict[str, np.ndarray]:
        """Copies of what the engine itself needs to go on bit for bit."""

    @abstractmethod
    def _restore_engine(self, saved: dict[str, np.ndarray]) -> None:
        """Undo `_save_engine`."""

    def reset(
        self, seed: int | None = None
    ) -> tuple[Float[np.ndarray, "batch agents observation"], Float[np.ndarray, "batch state"]]:
        if seed is not None:
            self._seed_worlds(seed)
        self._begin(np.arange(self.num_envs))
        self._started = True
        return self._read()

    def step(self, actions: Float[np.ndarray, "batch agents action"]) -> StepResult:
        self._require_started()
        actions = self._checked_actions(actions)
        with self._engine_settings():
            reward, terminated = self._advance(actions)
        self._lengths += 1
        final_obs, final_state = self._read()
        broken_states = np.flatnonzero(~np.isfinite(final_state).all(axis=1))
        broken = ~np.isfinite(reward)
        broken[broken_states] = True
        reward = np.where(broken, 0, reward)
        self._returns += reward
        terminated = terminated & ~broken
        truncated = broken | ~terminated & (self._lengths >= self.spec.episode_limit)
        info = {
            "final_obs": final_obs,
            "final_state": final_state,
            "episode_return": self._returns.copy(),
            "episode_length": self._lengths.copy(),
        } | self._task_info()
        obs, state = final_obs.copy(), final_state.copy()
        ended = np.flatnonzero(terminated | truncated)
        if ended.size:
            self._begin(ended)
            obs, state = self._read()
        result = StepResult(obs, state, reward.astype(np.float32), terminated, truncated, info)
        if broken.any():
            worlds = np.flatnonzero(broken).tolist()
            what = "the state" if worlds[0] in broken_states else "the reward"
            raise self._non_finite(what, worlds, int(info["episode_length"][worlds[0]]), result)
        return result

    def play(
        self,
        act: Acting,
        steps: int,
        obs: Float[np.ndarray, "batch agents observation"],
        state: Float[np.ndarray, "batch state"],
    ) -> Played:
        self._require_started()
        self._require_single_world()
        spec = self.spec
        steps = min(steps, spec.episode_limit - int(self._lengths[0]))
        states = np.empty((steps + 1, 1, spec.state_dim), dtype=np.float32)
        observations = np.empty((steps + 1, 1, spec.n_agents, spec.obs_dim), dtype=np.float32)
        actions = np.empty((steps, 1, spec.n_agents, spec.act_dim), dtype=np.float32)
        rewards = np.empty((steps, 1))
        states[0], observations[0] = state, obs
        taken, terminated = 0, np.zeros(1, dtype=np.bool_)
        with self._engine_settings():
            for step in range(steps):
                action = act(observations[step], step)
                actions[step] = action if step else self._checked_actions(action)
                rewards[step], terminated = self._advance(actions[step])
                self._lengths += 1
                states[step + 1] = engine_state = self._engine_state()
                observations[step + 1] = self._observe(engine_state)
                taken = step + 1
                if terminated[0]:
                    break
        return self._played(
            states[: taken + 1],
            observations[: taken + 1],
            actions[:taken, 0],
            rewards[:taken, 0],
            bool(terminated[0]),
        )

    def _played(
        self,
        states: Float[np.ndarray, "states 1 state"],
        observations: Float[np.ndarray, "states 1 agents observation"],
        actions: Float[np.ndarray, "time agents action"],
        rewards: Float[np.ndarray, " time"],
        terminated: bool,
    ) -> Played:
        """What `play` returns, after the checks and with the next episode begun where one ended."""
        self._require_finite(actions, states[1:, 0], rewards)
        self._returns[0] = np.concatenate([self._returns, rewards]).cumsum()[-1]
        truncated = not terminated and bool(self._lengths[0] >= self.spec.episode_limit)
        ends = terminated, truncated, float(self._returns[0])
        obs, state = observations[-1], states[-1]
        if terminated or truncated:
            self._begin(np.arange(1))
            obs, state = self._read()
        return Played(
            states[:, 0], observations[:-1, 0], actions, rewards.astype(np.float32), *ends, obs, state
        )

    def _require_finite(
        self,
        actions: Float[np.ndarray, "time agents action"],
        successors: Float[np.ndarray, "time state"],
        rewards: Float[np.ndarray, " time"],
    ) -> None:
        """Begin a new episode and raise NonFiniteError, naming what came first, unless all numbers of the
        last steps are finite.
        """
        found = {
            "the action": ~np.isfinite(actions).all(axis=(1, 2)),
            "the state": ~np.isfinite(successors).all(axis=1),
            "the reward": ~np.isfinite(rewards),
        }
        broken = np.flatnonzero(np.logical_or.reduce(list(found.values())))
        if broken.size:
            first = int(broken[0])
            step = int(self._lengths[0]) - len(rewards) + first + 1
            self._begin(np.arange(1))
            raise self._non_finite(
                next(what for what, of_steps in found.items() if of_steps[first]), [0], step
            )

    def get_sim_state(self) -> SimState:
        self._require_started()
        return self._identity() | {
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
            "random": {str(world): random.bit_generator.state for world, random in enumerate(self._random)},
            "engine_state": self._save_engine(),
        }

    def set_sim_state(self, saved: SimState) -> None:
        require_same(self._identity(), saved)
        own = {name: getattr(value, "shape", None) for name, value in self._save_engine().items()}
        found = {name: getattr(value, "shape", None) for name, value in saved.get("engine_state", {}).items()}
        if (
            found != own
            or not {"returns", "lengths", "random"} <= saved.keys()
            or len(saved["random"]) != self.num_envs
        ):
            raise SimStateMismatchError(
                f"the saved simulation of {self.spec.task} is not whole, or of another version"
            )
        self._returns[:] = saved["returns"]
        self._lengths[:] = saved["lengths"]
        for world, random in enumerate(self._random):
            random.bit_generator.state = saved["random"][str(world)]
        self._restore_engine(saved["engine_state"])
        self._started = True

    def render(
        self, world: int = 0, height: int = 240, width: int = 320
    ) -> UInt8[np.ndarray, "height width 3"]:
        self._require_started()
        if not 0 <= world < self.num_envs:
            raise InvalidArgumentError(
                f"there is no world {world}: this environment has {self.num_envs}, counted from 0"
            )
        _check_size(height, width)
        return self._draw_world(world, height, width)

    def render_states(
        self, states: Float[np.ndarray, "time state"], height: int = 240, width: int = 320
    ) -> UInt8[np.ndarray, "time height width 3"]:
        _check_size(height, width)
        if states.ndim != 2 or states.shape[1] != self.spec.state_dim:
            message = f"the states have shape {states.shape}, {self.spec.task} draws (time, state) = (any, {self.spec.state_dim})"
            raise InvalidArgumentError(message)
        broken = np.flatnonzero(~np.isfinite(states).all(axis=1))
        if broken.size:
            raise InvalidArgumentError(f"state {broken[0]} of the {len(states)} to draw is not finite")
        return self._draw_states(states, height, width)

    def _draw_world(self, world: int, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        """`render` with arguments that make sense."""
        return super().render(world, height, width)

    def _draw_states(
        self, states: Float[np.ndarray, "time state"], height: int, width: int
    ) -> UInt8[np.ndarray, "time height width 3"]:
        """`render_states` with arguments that make sense."""
        return super().render_states(states, height, width)

    def _identity(self) -> SimState:
        return {
            "task": self.spec.task,
            "preset": self.spec.preset,
            "lineage": self.spec.lineage,
            "num_envs": self.num_envs,
        }

    def _seed_worlds(self, seed: int) -> None:
        if not _is_whole(seed) or seed < 0:
            raise InvalidArgumentError(
                f"the seed is {seed!r}, it must be a whole number that is not negative"
            )
        # In place, because an engine may hold a reference to its world's generator.
        for world, random in enumerate(self._random):
            random.bit_generator.state = np.random.PCG64(seed * 1000 + world).state

    def _begin(self, worlds: Int[np.ndarray, " ended"]) -> None:
        self._begin_episodes(worlds)
        self._returns[worlds] = 0
        self._lengths[worlds] = 0

    def _read(self) -> tuple[Float[np.ndarray, "batch agents observation"], Float[np.ndarray, "batch state"]]:
        state = self._engine_state()
        return self._observe(state).astype(np.float32), state.astype(np.float32)

    def _require_single_world(self) -> None:
        if self.num_envs != 1:
            raise InvalidArgumentError(f"play steps a single world, this environment has {self.num_envs}")

    def _require_started(self) -> None:
        if not self._started:
            raise InvalidArgumentError(
                f"{self.spec.task} has no running episode: call reset() or set_sim_state() first"
            )

    def _checked_actions(
        self, actions: Float[np.ndarray, "batch agents action"]
    ) -> Float[np.ndarray, "batch agents action"]:
        try:
            actions = np.asarray(actions, dtype=np.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidArgumentError(
                f"the actions cannot be read as an array of numbers: {error}"
            ) from error
        expected = (self.num_envs, self.spec.n_agents, self.spec.act_dim)
        if actions.shape != expected:
            message = f"the actions have shape {actions.shape}, {self.spec.task} takes (worlds, agents, action) = {expected}"
            raise InvalidArgumentError(message)
        broken = np.flatnonzero(~np.isfinite(actions).all(axis=(1, 2)))
        if broken.size:
            raise self._non_finite("the action", broken.tolist(), int(self._lengths[broken[0]]) + 1)
        return actions

    def _non_finite(
        self, what: str, worlds: list[int], step: int, result: StepResult | None = None
    ) -> NonFiniteError:
        others = f" (nor are those of worlds {', '.join(map(str, worlds[1:]))})" if len(worlds) > 1 else ""
        message = f"{self.spec.task}: {what} of world {worlds[0]} is not finite at step {step} of its episode{others}"
        return NonFiniteError(message, worlds, step, result)


def require_same(own: SimState, saved: SimState) -> None:
    """Raises SimStateMismatchError where `saved` says something else than `own`, or nothing."""
    for name, value in own.items():
        if saved.get(name) != value:
            raise SimStateMismatchError(
                f"the saved simulation has {name} {saved.get(name)!r}, this environment has {value!r}"
            )


def _is_whole(number: object) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise InvalidArgumentError(f"a picture of {width} x {height} pixels cannot be drawn")
