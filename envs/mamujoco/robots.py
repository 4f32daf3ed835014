"""Many copies of one of gymnasium's robots, stepped by MuJoCo's own batch."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from jaxtyping import Bool, Float, Int
from mujoco.batch import Batch, SimulationError

from envs.mamujoco.bodies import Body, reward
from envs.mujoco_process import BROKEN, as_python_warnings, clock_off, cores

INTEGRATION_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
TORSO = 1
WORLDS_PER_THREAD = 32


class Robots:
    """B robots; each has the same numbers, bit for bit, as gymnasium's own environment alone.

    `model` is their MjModel, `qpos` [B, positions] and `qvel` [B, velocities] their current state, `contact`
    [B, bodies * 6] the external forces on each body clipped to +-1, None for a robot that does not see them;
    `dt` is the length of a control step in seconds.
    """

    def __init__(self, body: Body, robot: MujocoEnv, random: Sequence[np.random.Generator]) -> None:
        self.body = body
        self.model = robot.model
        self.dt = robot.dt
        self._robot = robot
        self._random = random
        # contact forces are computed from all of a world's MjData, which only a persistent batch keeps
        self._batch = batch = Batch(
            self.model, len(random), _threads(len(random)), persistent=body.sees_contact
        )
        self.qpos, self.qvel, self._ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
        self._torso = batch.bind("xpos")[:, TORSO, 0] if body.torso_speed else self.qpos[:, 0]
        self._x = np.zeros(len(random))
        self._scratch = mujoco.MjData(self.model)
        self._zeros = np.zeros((len(random), body.zeros))
        self.contact = np.zeros((len(random), self._scratch.cfrc_ext.size)) if body.sees_contact else None

    def reset(self, worlds: Int[np.ndarray, " ended"]) -> None:
        """Gymnasium's own reset in each of the worlds, its draws taken from the world's stream."""
        robot, data = self._robot, self._robot.data
        for world in worlds:
            robot.np_random = self._random[world]
            robot.reset()
            mujoco.mj_getState(self.model, data, self._batch.state[world], INTEGRATION_STATE)
            self._x[world] = data.xpos[TORSO, 0] if self.body.torso_speed else data.qpos[0]
            if self.contact is not None:
                self.contact[world] = data.cfrc_ext.clip(-1, 1).ravel()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around calls of `step`: MuJoCo's clock is off, its warnings become Python's at the end."""
        with clock_off, as_python_warnings(dropped=BROKEN):
            yield

    def step(
        self, controls: Float[np.ndarray, "batch actuators"]
    ) -> tuple[Float[np.ndarray, " batch"], Bool[np.ndarray, " batch"]]:
        """Apply the controls for one control step; returns rewards and where the task ended the episode.

        Only the simulator clips controls; the control cost counts them unclipped.
        """
        controls = np.ascontiguousarray(controls)  # a sum's order, hence its last bit, depends on the layout
        self._ctrl[:] = controls
        self._simulate()
        velocity = (self._torso - self._x) / self.dt
        self._x[:] = self._torso
        if self.contact is not None:
            self._read_contact(self.contact)
        healthy = self.body.health(self.qpos, self.qvel)
        return reward(self.body, velocity, controls, healthy, self.contact), ~healthy

    def features(self) -> Float[np.ndarray, "batch features"]:
        """Positions without the hidden ones, velocities, contact forces without the world's own."""
        return self._joined(self.qvel)

    def state(self) -> Float[np.ndarray, "batch state"]:
        """The features with the body's clipping of velocities and its trailing zeros."""
        limit = self.body.velocity_limit
        return self._joined(self.qvel.clip(-limit, limit) if np.isfinite(limit) else self.qvel, self._zeros)

    def save(self) -> dict[str, np.ndarray]:
        """What the robots continue from bit for bit."""
        # x is that of the last substep but one, which the state does not determine
        saved = {"integration": self._batch.state.copy(), "x": self._x.copy()}
        return saved if self.contact is None else saved | {"contact": self.contact.copy()}

    def restore(self, saved: dict[str, np.ndarray]) -> None:
        """Undo `save`."""
        self._batch.state[:] = saved["integration"]
        self._x[:] = saved["x"]
        if self.contact is not None:
            self.contact[:] = saved["contact"]

    def close(self) -> None:
        """Release gymnasium's renderer."""
        self._robot.close()

    def _joined(self, *parts: Float[np.ndarray, "batch _"]) -> Float[np.ndarray, "batch features"]:
        contact = () if self.contact is None else (self.contact[:, 6:],)
        return np.concatenate([self.qpos[:, self.body.hidden :], *parts, *contact], axis=1)

    def _simulate(self) -> None:
        try:
            self._batch.step(nstep=self._robot.frame_skip)
        except SimulationError as error:
            # these worlds did not move: mark them as broken
            self._batch.state[error.ids] = np.nan

    def _read_contact(self, contact: Float[np.ndarray, "batch forces"]) -> None:
        for world, row in enumerate(contact):
            self._batch.get_data(world, self._scratch)
            mujoco.mj_rnePostConstraint(self.model, self._scratch)
            self._scratch.cfrc_ext.clip(-1, 1, out=row.reshape(-1, 6))


def _threads(worlds: int) -> int:
    """One for every 32 worlds, at most the cores: smaller shares cost more to hand out than they save."""
    return max(1, min(cores(), worlds // WORLDS_PER_THREAD))


def build_robot(body: Body) -> MujocoEnv:
    """Gymnasium's bare robot: the episode limit is ours."""
    with as_python_warnings(dropped="settotalmass"):  # which half_cheetah.xml uses
        robot = cast(
            MujocoEnv, gymnasium.make(body.robot, disable_env_checker=True, **body.arguments).unwrapped
        )
    # MuJoCo would silently reset after a non-finite state
    robot.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    # one kinematic tree is one island: looking for islands takes up to 7 % of the time and changes no bit
    robot.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ISLAND
    return robot
