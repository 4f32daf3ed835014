"""MuJoCo Warp: many worlds of one model on a GPU, or slowly on the CPU, read as torch tensors."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

import copy
from collections.abc import Callable

import mujoco
import mujoco_warp
import numpy as np
import torch
import warp
from jaxtyping import Bool, Float
from mujoco_warp import OverflowType
from torch import Tensor

from envs.bidexhands.control import Controls
from envs.bidexhands.readings import Addresses, EngineArrays, fingertip_wrenches
from envs.bidexhands.scene import Scene
from envs.interface import EngineError

CONTACTS = 128
"""Room for contacts in one world; scripted grasps and random actions had at most 60."""

CONSTRAINTS = 640
"""Room for rows of constraints in one world; at most 400 so far."""

_STATE = ("qpos", "qvel", "ctrl", "xfrc_applied", "qacc_warmstart", "time")
_CURRENT = ("qpos", "qvel", "qfrc_actuator", "qfrc_constraint", "xpos", "xquat", "cvel", "subtree_com")
_CROWDED = (
    OverflowType.NEFC
    | OverflowType.NJMAX_NNZ
    | OverflowType.BROADPHASE
    | OverflowType.NARROWPHASE
    | OverflowType.CCD
)

warp.config.log_level = warp.LOG_WARNING


class WarpWorlds:
    """All worlds in one batch, float32. On a GPU the substeps run as one CUDA graph.

    `crowded` [B]: where the last step had more contacts or constraints than fit; MuJoCo Warp drops them.
    """

    def __init__(
        self, scene: Scene, addresses: Addresses, num_envs: int, device: torch.device, substeps: int
    ) -> None:
        self.device = device
        self.crowded = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._addresses = addresses
        model = copy.copy(scene.model)
        # MuJoCo Warp never resets by itself, and refuses this flag
        model.opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        start = mujoco.MjData(model)
        start.qpos[:], start.ctrl[:] = scene.reset_positions, scene.reset_targets
        mujoco.mj_forward(model, start)
        warp.init()
        with warp.ScopedDevice(warp.device_from_torch(device)):
            self._model = mujoco_warp.put_model(model)
            # a crowded world is an error here
            self._model.opt.warn_overflow = 0
            self._data = mujoco_warp.put_data(
                model, start, nworld=num_envs, nconmax=CONTACTS, njmax=CONSTRAINTS
            )
            self._sensed = {name: warp.clone(getattr(self._data, name)) for name in ("xpos", "xquat")}
            self._launch = self._captured(substeps)
        initial = {
            name: torch.from_numpy(np.asarray(getattr(start, name), dtype=np.float32)) for name in _STATE
        }
        self._start = {
            name: values.reshape(1, *self._tensor(name).shape[1:]).to(device)
            for name, values in initial.items()
        }
        self.restart(torch.ones(num_envs, dtype=torch.bool, device=device))

    def restart(self, worlds: Bool[Tensor, " batch"]) -> None:
        """Put the chosen worlds at the start of an episode; `arrays` shows it after the next step."""
        for name, begin in self._start.items():
            target = self._tensor(name)
            chosen = worlds.reshape(-1, *(1,) * (target.ndim - 1))
            target.copy_(torch.where(chosen, begin, target))
        warp.to_torch(self._data.overflow).masked_fill_(worlds, 0)

    def step(
        self,
        targets: Float[Tensor, "batch hands actuated"],
        wrenches: Float[Tensor, "batch hands 6"],
        controls: Controls,
    ) -> None:
        """Advance every world with the same drive throughout its substeps."""
        self._tensor("ctrl")[:, controls.actuators] = targets
        self._tensor("xfrc_applied")[:, controls.forearms] = wrenches
        self._launch()
        self.crowded = (warp.to_torch(self._data.overflow) & int(_CROWDED)) != 0

    def arrays(self) -> EngineArrays:
        """Every world as the last step left it; later steps write into the same memory."""
        current = {name: self._tensor(name) for name in _CURRENT}
        sensed = {name: warp.to_torch(value) for name, value in self._sensed.items()}
        wrenches = fingertip_wrenches(self._tensor("sensordata"), **sensed, addresses=self._addresses)
        return EngineArrays(**current, wrenches=wrenches)

    def save(self) -> dict[str, np.ndarray]:
        """What the worlds continue from; on the CPU, bit for bit."""
        return {name: self._tensor(name).cpu().numpy().copy() for name in _STATE}

    def restore(self, saved: dict[str, np.ndarray]) -> None:
        """Undo `save`."""
        for name in _STATE:
            self._tensor(name).copy_(torch.from_numpy(saved[name]))

    def _substeps(self, substeps: int) -> None:
        for _ in range(substeps):
            mujoco_warp.step(self._model, self._data)
        for name, kept in self._sensed.items():
            warp.copy(kept, getattr(self._data, name))
        mujoco_warp.kinematics(self._model, self._data)
        mujoco_warp.com_pos(self._model, self._data)
        mujoco_warp.com_vel(self._model, self._data)

    def _captured(self, substeps: int) -> Callable[[], None]:
        """The substeps as one launch: hundreds of small kernels would keep the host busier than the GPU."""
        self._substeps(substeps)  # compiles and allocates, which a capture must not
        if self.device.type != "cuda":
            return lambda: self._substeps(substeps)
        with warp.ScopedCapture() as capture:
            self._substeps(substeps)
        graph = capture.graph
        if graph is None:
            raise EngineError("MuJoCo Warp's steps could not be captured as a CUDA graph")
        # on torch's stream, in order with its kernels
        return lambda: warp.capture_launch(
            graph, stream=warp.stream_from_torch(torch.cuda.current_stream(self.device))
        )

    def _tensor(self, name: str) -> Tensor:
        return warp.to_torch(getattr(self._data, name))
