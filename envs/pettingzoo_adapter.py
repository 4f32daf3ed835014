"""One world as a PettingZoo `ParallelEnv`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from envs.interface import (
    BatchedEnvironment,
    InvalidArgumentError,
    MissingExtraError,
    NonFiniteError,
    StepResult,
)
from envs.registry import make

try:
    from gymnasium.spaces import Box, Space
    from pettingzoo import ParallelEnv
except ModuleNotFoundError as error:
    package = str(error.name).partition(".")[0]
    raise MissingExtraError(
        f"the PettingZoo adapter needs {package}, which is not installed: pip install -e '.[mujoco]'"
    ) from error

ByAgent = dict[str, Any]


def as_parallel_env(
    task: str,
    seed: int = 0,
    preset: str | None = None,
    engine: str | None = None,
    render_mode: str | None = None,
) -> ParallelWorld:
    """Build `task` with one world, seeded with `seed * 1000`, as a PettingZoo environment.

    `preset` and `engine` as of `envs.make`.

    Raises like `envs.make`, and InvalidArgumentError for a `render_mode` other than None and "rgb_array".
    """
    if engine == "mujoco-warp":
        raise InvalidArgumentError(
            "engine 'mujoco-warp' has torch tensors, PettingZoo NumPy arrays: choose another engine"
        )
    return ParallelWorld(make(task, 1, seed, preset, engine), render_mode)


class ParallelWorld(ParallelEnv[str, np.ndarray, np.ndarray]):
    """The only world of a batched environment; its agents are called agent_0, agent_1 and so on.

    Agents share rewards and ends of episodes: `step` then returns the final observations, `state` the final
    state, and `agents` is empty until `reset`, which without a seed continues with the episode that the
    batched environment has already begun.

    Args:
        environment: with one world; closed with the adapter.
        render_mode: "rgb_array", or None, with which `render` returns None.
    """

    def __init__(self, environment: BatchedEnvironment, render_mode: str | None = None) -> None:
        if environment.num_envs != 1:
            raise InvalidArgumentError(
                f"PettingZoo knows one world at a time, this environment has {environment.num_envs}"
            )
        if render_mode not in (None, "rgb_array"):
            raise InvalidArgumentError(f"unknown render mode {render_mode!r}: choose 'rgb_array' or None")
        self.environment = environment
        self.spec = spec = environment.spec
        self.render_mode = render_mode
        self.metadata = {
            "name": spec.task,
            "render_modes": ["rgb_array"],
            "render_fps": environment.steps_per_second,
            "is_parallelizable": True,
        }
        self.possible_agents = [f"agent_{number}" for number in range(spec.n_agents)]
        self.agents = []
        bound = environment.observation_bound
        self.state_space = Box(-bound, bound, (spec.state_dim,), np.float32)
        self.observation_spaces = {
            agent: Box(-bound, bound, (spec.obs_dim,), np.float32) for agent in self.possible_agents
        }
        self.action_spaces = {
            agent: Box(-1, 1, (spec.act_dim,), np.float32) for agent in self.possible_agents
        }
        self._state: Float[np.ndarray, " state"] | None = None
        self._next: tuple[np.ndarray, np.ndarray] | None = None

    def observation_space(self, agent: str) -> Space[np.ndarray]:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Space[np.ndarray]:
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ByAgent, ByAgent]:
        """Observations and empty infos of a new episode; `options` are ignored, as PettingZoo asks."""
        if seed is not None or self._next is None:
            self._next = self.environment.reset(seed)
        observations, states = self._next
        self._next = None
        self.agents = list(self.possible_agents)
        self._state = states[0]
        return self._by_agent(observations[0]), {agent: {} for agent in self.agents}

    def step(
        self, actions: dict[str, Float[np.ndarray, " action"]]
    ) -> tuple[ByAgent, ByAgent, ByAgent, ByAgent, ByAgent]:
        """Observations, rewards, terminations, truncations and infos by agent.

        The infos have the batched `info` of the world, without final observations and states.

        Raises:
            InvalidArgumentError: no episode is running, or an agent's action is missing or of another shape.
            NonFiniteError: like the batched environment's; where the simulation broke, the episode is over.
        """
        if not self.agents:
            raise InvalidArgumentError(f"{self.spec.task} has no running episode: call reset() first")
        if set(actions) != set(self.agents):
            given = ", ".join(actions) or "none"
            raise InvalidArgumentError(
                f"there must be one action each for {', '.join(self.agents)}, not {given}"
            )
        shapes = {agent: np.shape(action) for agent, action in actions.items()}
        if set(shapes.values()) != {(self.spec.act_dim,)}:
            raise InvalidArgumentError(
                f"each action of {self.spec.task} has shape ({self.spec.act_dim},), these have {shapes}"
            )
        joint = np.stack([actions[agent] for agent in self.agents])
        try:
            result = self.environment.step(joint[None])
        except NonFiniteError as error:
            if error.result is not None:
                self._end(error.result)
            raise
        self._state = result.info["final_state"][0]
        observations = self._by_agent(result.info["final_obs"][0])
        facts = {
            name: value[0].item() for name, value in result.info.items() if not name.startswith("final_")
        }
        terminated, truncated = bool(result.terminated[0]), bool(result.truncated[0])
        shared = [
            dict.fromkeys(self.agents, value) for value in (float(result.reward[0]), terminated, truncated)
        ]
        infos = {agent: dict(facts) for agent in self.agents}
        if terminated or truncated:
            self._end(result)
        return observations, shared[0], shared[1], shared[2], infos

    def state(self) -> Float[np.ndarray, " state"]:
        """The global state that belongs to the observations last returned."""
        if self._state is None:
            raise InvalidArgumentError(f"{self.spec.task} has no state yet: call reset() first")
        return self._state.copy()

    def render(self) -> UInt8[np.ndarray, "height width 3"] | None:
        """The world as it is now, in RGB; after an episode its last state."""
        if self.render_mode is None:
            return None
        if self._next is not None:
            return self.environment.render_states(self.state()[None])[0]
        return self.environment.render()

    def close(self) -> None:
        self.environment.close()

    def _by_agent(self, observations: Float[np.ndarray, "agents observation"]) -> ByAgent:
        return dict(zip(self.possible_agents, observations.copy(), strict=True))

    def _end(self, result: StepResult) -> None:
        self.agents = []
        self._next = (result.obs, result.state)
