"""The tasks in MuJoCo's own engine, on the CPU."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from envs.bidexhands.control import find_controls, forearm_wrenches, joint_targets
from envs.bidexhands.observation import agent_observations, global_state
from envs.bidexhands.readings import Readings, find_addresses, read
from envs.bidexhands.reconstruction import qpos_from_states
from envs.bidexhands.tasks import Task
from envs.bidexhands.worlds import Worlds
from envs.episodes import EpisodicEnvironment
from envs.rendering import ModelCamera


class BiDexHands(EpisodicEnvironment):
    """Two hands and an object; actions are clipped to [-1, 1], also in observations.

    Every episode starts from exactly the same state. (The original's first observation comes after one step
    with actions of at most 0.01, noise that its configuration does not ask for.) A failed task terminates the
    episode, the episode limit truncates it, and success stays in `info` once it is reached.
    """

    starts_afresh = True

    def __init__(self, task: str, num_envs: int, seed: int, preset: str) -> None:
        self.task = Task(task, preset)
        spec = self.task.spec(f"mujoco-{mujoco.__version__}")
        super().__init__(spec, num_envs, seed)
        scene = self.task.build_scene()
        self._addresses = find_addresses(scene.model, self.task.kind.links)
        self._controls = find_controls(scene.model, self.task.constants.hand, self.task.own)
        self.worlds = Worlds(scene, self._addresses, num_envs)
        self.observation_bound = self.task.constants.observation.clip
        self.steps_per_second = 1 / (scene.model.opt.timestep * self.task.constants.simulation.substeps)
        self._camera = ModelCamera(scene.model, "overview")
        self._actions = np.zeros((num_envs, spec.n_agents, spec.act_dim))
        self._state = np.zeros((num_envs, spec.state_dim))
        self._success = np.zeros(num_envs, dtype=np.bool_)

    def readings(self) -> Readings:
        """The quantities of observations and rewards, of every world after its last step or reset."""
        return read(self.worlds.arrays(), self._addresses)

    def _begin_episodes(self, worlds: Int[np.ndarray, " ended"]) -> None:
        self.worlds.reset(worlds)
        self._actions[worlds] = 0
        self._success[worlds] = False
        readings = self.readings()
        self._state[worlds] = self._global_state(readings, self.task.points(readings))[worlds]

    def _advance(
        self, actions: Float[np.ndarray, "batch agents action"]
    ) -> tuple[Float[np.ndarray, " batch"], Bool[np.ndarray, " batch"]]:
        np.clip(actions, -1, 1, out=self._actions)
        targets, wrenches = (
            joint_targets(self._actions, self._controls),
            forearm_wrenches(self._actions, self._controls),
        )
        self.worlds.step(targets, wrenches, self._controls, self.task.constants.simulation.substeps)
        readings = self.readings()
        points = self.task.points(readings)
        self._state = self._global_state(readings, points)
        reward, failure, success = self.task.outcome(readings, points)
        self._success |= success
        return reward, failure

    def _task_info(self) -> dict[str, np.ndarray]:
        return {"success": self._success.copy()}

    def _engine_state(self) -> Float[np.ndarray, "batch state"]:
        return self._state

    def _observe(
        self, state: Float[np.ndarray, "batch state"]
    ) -> Float[np.ndarray, "batch agents observation"]:
        return agent_observations(state)

    def _save_engine(self) -> dict[str, np.ndarray]:
        return {
            "integration": self.worlds.save(),
            "state": self._state.copy(),
            "success": self._success.copy(),
        }

    def _restore_engine(self, saved: dict[str, np.ndarray]) -> None:
        self.worlds.restore(saved["integration"])
        self._state = saved["state"].copy()
        self._success = saved["success"].copy()

    def _draw_world(self, world: int, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        return self._camera.draw(self.worlds.data[world].qpos[None], height, width)[0]

    def _draw_states(
        self, states: Float[np.ndarray, "time state"], height: int, width: int
    ) -> UInt8[np.ndarray, "time height width 3"]:
        return self._camera.draw(qpos_from_states(self.task, self.worlds.model, states), height, width)

    def close(self) -> None:
        self._camera.close()
        self.worlds.close()

    def _global_state(
        self, readings: Readings, points: Float[np.ndarray, "batch points 3"]
    ) -> Float[np.ndarray, "batch state"]:
        return global_state(readings, points, self._actions, self.task.constants.observation)
