"""Pictures of a MuJoCo model in given positions, without a screen."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

import copy
import threading

import mujoco
import numpy as np
from jaxtyping import Float, UInt8

from envs.graphics import choose_backend, remedy
from envs.interface import MissingGraphicsError


class ModelCamera:
    """A camera of a model, by its name; works on a copy, so the simulation is not affected."""

    def __init__(self, model: mujoco.MjModel, camera: str) -> None:
        self._original = model
        self._camera = camera
        self._renderer: mujoco.Renderer | None = None
        self._thread = 0

    def draw(
        self, positions: Float[np.ndarray, "time position"], height: int, width: int
    ) -> UInt8[np.ndarray, "time height width 3"]:
        """A picture for each row of generalised positions (`qpos`), in RGB.

        Raises:
            MissingGraphicsError: there is no OpenGL to draw with.
        """
        if self._renderer is not None and self._thread != threading.get_ident():
            raise MissingGraphicsError(
                "OpenGL draws on one thread: draw there, or close the environment and make another"
            )
        frames = np.empty((len(positions), height, width, 3), dtype=np.uint8)
        renderer = self._sized(height, width)
        data = mujoco.MjData(renderer.model)
        for frame, position in zip(frames, positions, strict=True):
            data.qpos[:] = position
            mujoco.mj_forward(renderer.model, data)
            renderer.update_scene(data, camera=self._camera)
            renderer.render(out=frame)
        return frames

    def close(self) -> None:
        """Release the graphics context; the next picture makes another."""
        if self._renderer is not None:
            self._renderer.close()
        self._renderer = None

    def _sized(self, height: int, width: int) -> mujoco.Renderer:
        if self._renderer is not None and (self._renderer.height, self._renderer.width) == (height, width):
            return self._renderer
        self.close()
        choose_backend()
        self._thread = threading.get_ident()
        model = copy.copy(self._original)
        model.vis.global_.offheight, model.vis.global_.offwidth = height, width
        try:
            self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:
            # MuJoCo, PyOpenGL and drivers raise anything from ImportError to FatalError here
            reason = " ".join(str(error).split()).rstrip(".")
            raise MissingGraphicsError(
                f"MuJoCo found no OpenGL to draw with ({reason}): {remedy()}"
            ) from error
        return self._renderer
