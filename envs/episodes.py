"""Episodes, seeds and same-step autoreset, shared by the environments that run on the CPU."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from envs import checks
from envs.interface import (
    Acting,
    BatchedEnvironment,
    EnvSpec,
    InvalidArgumentError,
    Played,
    SimState,
    SimStateMismatchError,
    StepResult,
)


class EpisodicEnvironment(BatchedEnvironment):
    """A batched environment around six hooks; draws come from `self._random`, one stream a world."""

    def __init__(self, spec: EnvSpec, num_envs: int, seed: int) -> None:
        checks.require_worlds(num_envs)
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
        """Entered around `_advance`, once for many calls."""
        return nullcontext()

    def _task_info(self) -> dict[str, np.ndarray]:
        """More entries of the step's `info`, such as `success`; read before an ended episode is replaced."""
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
        """Copies of what the engine needs to continue bit for bit."""

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
            step = int(info["episode_length"][worlds[0]])
            raise checks.non_finite(self.spec, what, worlds, step, result)
        return result

    def play(
        self,
        act: Acting,
        steps: int,
        obs: Float[np.ndarray, "batch agents observation"],
        state: Float[np.ndarray, "batch state"],
    ) -> Played:
        self._require_started()
        checks.require_single_world(self.num_envs)
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
        """Check the steps, begin the next episode if one ended, and return what `play` returns."""
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
        """Begin a new episode and raise NonFiniteError, naming the first culprit, unless all are finite."""
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
            what = next(what for what, of_steps in found.items() if of_steps[first])
            raise checks.non_finite(self.spec, what, [0], step)

    def get_sim_state(self) -> SimState:
        self._require_started()
        return checks.identity(self.spec, self.num_envs) | {
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
            "random": {str(world): random.bit_generator.state for world, random in enumerate(self._random)},
            "engine_state": self._save_engine(),
        }

    def set_sim_state(self, saved: SimState) -> None:
        checks.require_same(checks.identity(self.spec, self.num_envs), saved)
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
        checks.require_world(world, self.num_envs)
        checks.require_size(height, width)
        return self._draw_world(world, height, width)

    def render_states(
        self, states: Float[np.ndarray, "time state"], height: int = 240, width: int = 320
    ) -> UInt8[np.ndarray, "time height width 3"]:
        checks.require_size(height, width)
        checks.require_states(states, self.spec)
        return self._draw_states(states, height, width)

    def _draw_world(self, world: int, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        """`render` with checked arguments."""
        return super().render(world, height, width)

    def _draw_states(
        self, states: Float[np.ndarray, "time state"], height: int, width: int
    ) -> UInt8[np.ndarray, "time height width 3"]:
        """`render_states` with checked arguments."""
        return super().render_states(states, height, width)

    def _seed_worlds(self, seed: int) -> None:
        checks.require_seed(seed)
        # in place: an engine may hold a reference to its world's generator
        for world, random in enumerate(self._random):
            random.bit_generator.state = np.random.PCG64(seed * 1000 + world).state

    def _begin(self, worlds: Int[np.ndarray, " ended"]) -> None:
        self._begin_episodes(worlds)
        self._returns[worlds] = 0
        self._lengths[worlds] = 0

    def _read(self) -> tuple[Float[np.ndarray, "batch agents observation"], Float[np.ndarray, "batch state"]]:
        state = self._engine_state()
        return self._observe(state).astype(np.float32), state.astype(np.float32)

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
        checks.require_actions(actions.shape, self.spec, self.num_envs)
        broken = np.flatnonzero(~np.isfinite(actions).all(axis=(1, 2)))
        if broken.size:
            step = int(self._lengths[broken[0]]) + 1
            raise checks.non_finite(self.spec, "the action", broken.tolist(), step)
        return actions
