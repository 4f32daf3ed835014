"""MAMuJoCo as the paper's baselines see it: one robot of gymnasium's, its actuators shared out among agents.

Agent i drives the actuators [i*d, (i+1)*d) in XML order. Every agent sees the whole state and its own one-hot id, scaled
to zero mean and unit deviation over the features of that one vector. The reward is the single robot's.
"""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from jaxtyping import Bool, Float, Int, UInt8

from envs.episodes import EpisodicEnvironment
from envs.interface import EnvSpec
from envs.mamujoco_reconstruction import reconstruct
from envs.rendering import ModelCamera

EPISODE_LIMIT = 1000
INTEGRATION_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


@dataclass(frozen=True)
class Body:
    """A gymnasium robot and what separates it from the version the paper used.

    `state_dim` may exceed gymnasium's observation: the numbers beyond it stay 0.
    `terminal_reward` is added to the reward of the step that terminates an episode.
    """

    env_id: str
    state_dim: int
    arguments: Mapping[str, Any]
    terminal_reward: float = 0.0


@dataclass(frozen=True)
class Partition:
    """How many agents share a body, and how many actuators each of them drives."""

    body: Body
    n_agents: int
    act_dim: int


HALF_CHEETAH = Body(
    "HalfCheetah-v5",
    state_dim=17,
    # r = dx/dt - 0.1 sum(a^2); initial positions U(-0.1, 0.1), velocities 0.1 N(0, 1), as in HalfCheetah-v2.
    arguments={"forward_reward_weight": 1.0, "ctrl_cost_weight": 0.1, "reset_noise_scale": 0.1},
)

PARTITIONS = {
    "halfcheetah-2x3": Partition(HALF_CHEETAH, n_agents=2, act_dim=3),
}


class MultiAgentMujoco(EpisodicEnvironment):
    """Gymnasium robots side by side; actions reach them unclipped, so the control cost sees them as they are."""

    def __init__(self, task: str, num_envs: int, seed: int, preset: str) -> None:
        partition = PARTITIONS[task]
        self._body = partition.body
        spec = EnvSpec(
            task=task,
            suite="mamujoco",
            n_agents=partition.n_agents,
            obs_dim=self._body.state_dim + partition.n_agents,
            state_dim=self._body.state_dim,
            act_dim=partition.act_dim,
            episode_limit=EPISODE_LIMIT,
            engine=f"mujoco-{mujoco.__version__}",
            lineage=f"gymnasium-{gymnasium.__version__}/{self._body.env_id}/mujoco-{mujoco.__version__}",
            preset=preset,
        )
        super().__init__(spec, num_envs, seed)
        self._robots = [_build_robot(self._body, random) for random in self._random]
        self._states = np.zeros((num_envs, spec.state_dim))
        self.steps_per_second = 1 / self._robots[0].dt
        self._camera = ModelCamera(self._robots[0].model, "track")

    def _begin_episodes(self, worlds: Int[np.ndarray, " ended"]) -> None:
        for world in worlds:
            state, _ = self._robots[world].reset()
            self._states[world, : state.size] = state

    def _advance(self, actions: Float[np.ndarray, "batch agents action"]) -> tuple[Float[np.ndarray, " batch"], Bool[np.ndarray, " batch"]]:
        reward = np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, dtype=np.bool_)
        controls = actions.reshape(self.num_envs, -1)
        for world, robot in enumerate(self._robots):
            state, reward[world], terminated[world], _, _ = robot.step(controls[world])
            self._states[world, : state.size] = state
        return reward + self._body.terminal_reward * terminated, terminated

    def _engine_state(self) -> Float[np.ndarray, "batch state"]:
        return self._states

    def _observe(self, state: Float[np.ndarray, "batch state"]) -> Float[np.ndarray, "batch agents observation"]:
        return feature_zscore(state, self.spec.n_agents)

    def _save_engine(self) -> dict[str, np.ndarray]:
        size = mujoco.mj_stateSize(self._robots[0].model, INTEGRATION_STATE)
        integration = np.empty((self.num_envs, size))
        for row, robot in zip(integration, self._robots, strict=True):
            mujoco.mj_getState(robot.model, robot.data, row, INTEGRATION_STATE)
        # Rewards may read positions that MuJoCo derived before its last substep: restored, never recomputed.
        return {"integration": integration, "body_positions": np.stack([robot.data.xpos for robot in self._robots])}

    def _restore_engine(self, saved: dict[str, np.ndarray]) -> None:
        for world, robot in enumerate(self._robots):
            mujoco.mj_setState(robot.model, robot.data, saved["integration"][world], INTEGRATION_STATE)
            robot.data.xpos[:] = saved["body_positions"][world]

    def _draw_world(self, world: int, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        return self._camera.draw(self._robots[world].data.qpos[None], height, width)[0]

    def _draw_states(self, states: Float[np.ndarray, "time state"], height: int, width: int) -> UInt8[np.ndarray, "time height width 3"]:
        robot = self._robots[0]
        return self._camera.draw(reconstruct(robot.model, states, robot.dt)[0], height, width)

    def close(self) -> None:
        self._camera.close()
        for robot in self._robots:
            robot.close()


def feature_zscore(state: Float[np.ndarray, "batch state"], n_agents: int) -> Float[np.ndarray, "batch agents observation"]:
    """z(x) = (x - mean(x)) / std(x) over the features of x = (state, one-hot agent id), per world and agent.

    Population deviation, no epsilon: with two or more agents the one-hot id alone keeps it above 0.
    """
    batch, state_dim = state.shape
    features = np.empty((batch, n_agents, state_dim + n_agents))
    features[:, :, :state_dim] = state[:, None]
    features[:, :, state_dim:] = np.eye(n_agents)
    return (features - features.mean(axis=2, keepdims=True)) / features.std(axis=2, keepdims=True)


def _build_robot(body: Body, random: np.random.Generator) -> MujocoEnv:
    """The bare robot: the episode limit is ours, and its reset draws from `random`."""
    with _settotalmass_silenced():
        robot = cast(MujocoEnv, gymnasium.make(body.env_id, disable_env_checker=True, **body.arguments).unwrapped)
    robot.np_random = random
    # MuJoCo would answer a non-finite state by silently starting over; it has to show instead.
    robot.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    return robot


@contextmanager
def _settotalmass_silenced() -> Iterator[None]:
    """Drop MuJoCo's note that half_cheetah.xml uses `settotalmass`, which it would also append to a file in the working folder."""

    def warn(message: str) -> None:
        if "settotalmass" not in message:
            warnings.warn(message, RuntimeWarning, stacklevel=2)

    previous = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(warn)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(previous)
