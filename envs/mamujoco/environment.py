"""The batched environment of robots shared by agents."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.metadata import version

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from envs.episodes import EpisodicEnvironment
from envs.interface import EnvSpec, InvalidArgumentError
from envs.mamujoco.bodies import V2_BODIES, V5_BODIES
from envs.mamujoco.observations import FullView, LocalView, states_seen
from envs.mamujoco.reconstruction import reconstruct
from envs.mamujoco.robots import Robots, build_robot
from envs.rendering import ModelCamera

EPISODE_LIMIT = 1000


class MultiAgentMujoco(EpisodicEnvironment):
    """The tasks `<robot>-<agents>x<actuators of each>`, in the preset `paper` or `gymnasium-robotics`.

    Actions reach the robots unclipped, and the control cost counts them so.
    """

    starts_afresh = True

    def __init__(self, task: str, num_envs: int, seed: int, preset: str) -> None:
        name, split = task.split("-")
        n_agents, act_dim = map(int, split.split("x"))
        local = preset == "gymnasium-robotics"
        body = (V5_BODIES if local else V2_BODIES)[name]
        robot = build_robot(body)
        contact = 6 * (robot.model.nbody - 1) if body.sees_contact else 0
        state_dim = robot.model.nq + robot.model.nv - body.hidden + body.zeros + contact
        scenario = body.robot.removesuffix("-v5")
        self._view = LocalView(robot, state_dim, scenario, split) if local else FullView(state_dim, n_agents)
        lineage = f"gymnasium-{version('gymnasium')}/{body.rules}/mujoco-{mujoco.__version__}"
        if local:
            lineage = f"gymnasium-robotics-{version('gymnasium-robotics')}/mamujoco_v1/{lineage}"
        spec = EnvSpec(
            task=task,
            suite="mamujoco",
            n_agents=n_agents,
            obs_dim=self._view.obs_dim,
            state_dim=state_dim,
            act_dim=act_dim,
            episode_limit=EPISODE_LIMIT,
            engine=f"mujoco-{mujoco.__version__}",
            lineage=lineage,
            preset=preset,
        )
        super().__init__(spec, num_envs, seed)
        self.robots = Robots(body, robot, self._random)
        self.steps_per_second = 1 / self.robots.dt
        self._camera = ModelCamera(self.robots.model, "track")

    def _begin_episodes(self, worlds: Int[np.ndarray, " ended"]) -> None:
        self.robots.reset(worlds)

    def _engine_settings(self) -> AbstractContextManager[object]:
        return self.robots.running()

    def _advance(
        self, actions: Float[np.ndarray, "batch agents action"]
    ) -> tuple[Float[np.ndarray, " batch"], Bool[np.ndarray, " batch"]]:
        return self.robots.step(self._view.controls(actions))

    def _engine_state(self) -> Float[np.ndarray, "batch state"]:
        return self.robots.state()

    def _observe(
        self, state: Float[np.ndarray, "batch state"]
    ) -> Float[np.ndarray, "batch agents observation"]:
        return self._view.observe(self.robots, state)

    def _save_engine(self) -> dict[str, np.ndarray]:
        return self.robots.save()

    def _restore_engine(self, saved: dict[str, np.ndarray]) -> None:
        self.robots.restore(saved)

    def _draw_world(self, world: int, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        return self._camera.draw(self.robots.qpos[world : world + 1], height, width)[0]

    def _draw_states(
        self, states: Float[np.ndarray, "time state"], height: int, width: int
    ) -> UInt8[np.ndarray, "time height width 3"]:
        return self._camera.draw(reconstruct(self.robots.model, states, self.robots.dt)[0], height, width)

    def states_seen(
        self, observations: Float[np.ndarray, "time agents observation"]
    ) -> Float[np.ndarray, "time state"]:
        if isinstance(self._view, LocalView):
            return super().states_seen(observations)
        spec = self.spec
        if observations.shape[1:] != (spec.n_agents, spec.obs_dim):
            has = f"{spec.task} has (time, agents, observation) = (any, {spec.n_agents}, {spec.obs_dim})"
            raise InvalidArgumentError(f"the observations have shape {observations.shape}, {has}")
        return states_seen(observations)

    def close(self) -> None:
        self._camera.close()
        self.robots.close()
