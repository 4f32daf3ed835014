"""MuJoCo's own engine: many worlds of one model, stepped on threads and read as arrays."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import mujoco
import numpy as np
from jaxtyping import Float, Int

from envs.bidexhands.control import Controls
from envs.bidexhands.readings import Addresses, EngineArrays, fingertip_wrenches
from envs.bidexhands.scene import Scene
from envs.mujoco_process import BROKEN, as_python_warnings, cores

INTEGRATION_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
_CURRENT = ("qpos", "qvel", "qfrc_actuator", "qfrc_constraint", "xpos", "xquat", "cvel", "subtree_com")
_BROKEN = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)
_SENSED = ("sensordata", "xpos", "xquat")


class Worlds:
    """One MjData a world, each stepped by itself: results do not depend on the number of threads."""

    def __init__(self, scene: Scene, addresses: Addresses, num_envs: int) -> None:
        self.scene, self.model = scene, scene.model
        self.data = [mujoco.MjData(self.model) for _ in range(num_envs)]
        self._addresses = addresses
        self._current = self._buffers(_CURRENT)
        self._sensed = self._buffers(_SENSED)
        workers = min(num_envs, cores())
        self._shares = [range(first, num_envs, workers) for first in range(workers)]
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def reset(self, worlds: Int[np.ndarray, " ended"]) -> None:
        """Put worlds at the start of an episode: at rest, with targets where the joints are."""
        for world in worlds.tolist():
            data = self.data[world]
            mujoco.mj_resetData(self.model, data)
            data.qpos[:] = self.scene.reset_positions
            data.ctrl[:] = self.scene.reset_targets
            mujoco.mj_forward(self.model, data)
            self._copy(world, self._sensed)
            self._copy(world, self._current)

    def step(
        self,
        targets: Float[np.ndarray, "batch hands actuated"],
        wrenches: Float[np.ndarray, "batch hands 6"],
        controls: Controls,
        substeps: int,
    ) -> None:
        """Advance every world with the same drive throughout its substeps."""
        with as_python_warnings(dropped=BROKEN):
            if self._pool is None:
                self._advance(self._shares[0], targets, wrenches, controls, substeps)
            else:
                shared = partial(
                    self._advance, targets=targets, wrenches=wrenches, controls=controls, substeps=substeps
                )
                list(self._pool.map(shared, self._shares))

    def arrays(self) -> EngineArrays:
        """Every world as it is now; later steps write into the same memory."""
        return EngineArrays(
            **self._current, wrenches=fingertip_wrenches(**self._sensed, addresses=self._addresses)
        )

    def save(self) -> Float[np.ndarray, "batch integration"]:
        """What every world continues from bit for bit."""
        integration = np.empty((len(self.data), mujoco.mj_stateSize(self.model, INTEGRATION_STATE)))
        for row, data in zip(integration, self.data, strict=True):
            mujoco.mj_getState(self.model, data, row, INTEGRATION_STATE)
        return integration

    def restore(self, integration: Float[np.ndarray, "batch integration"]) -> None:
        """Undo `save`."""
        for row, data in zip(integration, self.data, strict=True):
            mujoco.mj_setState(self.model, data, row, INTEGRATION_STATE)
            self._refresh(data)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _advance(
        self,
        share: range,
        targets: Float[np.ndarray, "batch hands actuated"],
        wrenches: Float[np.ndarray, "batch hands 6"],
        controls: Controls,
        substeps: int,
    ) -> None:
        for world in share:
            data = self.data[world]
            data.ctrl[controls.actuators] = targets[world]
            data.xfrc_applied[controls.forearms] = wrenches[world]
            mujoco.mj_step(self.model, data, substeps)
            self._copy(world, self._sensed)
            self._refresh(data)
            self._copy(world, self._current)
            if any(data.warning[kind].number for kind in _BROKEN):
                # clipped numbers may be finite: mark the world as broken
                self._current["qpos"][world] = np.nan

    def _refresh(self, data: mujoco.MjData) -> None:
        """Update poses and velocities of bodies, which a step leaves as its last substep began."""
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_comPos(self.model, data)
        mujoco.mj_comVel(self.model, data)

    def _buffers(self, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        return {name: np.zeros((len(self.data), *getattr(self.data[0], name).shape)) for name in names}

    def _copy(self, world: int, buffers: dict[str, np.ndarray]) -> None:
        for name, buffer in buffers.items():
            buffer[world] = getattr(self.data[world], name)
