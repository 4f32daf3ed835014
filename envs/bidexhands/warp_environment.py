"""The tasks in many worlds at once with MuJoCo Warp, in torch tensors on the device of the simulation."""

# pyright: reportIncompatibleMethodOverride=false, reportArgumentType=false
# (the interface of all environments, with tensors for its arrays)

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from envs.bidexhands.control import find_controls, forearm_wrenches, joint_targets
from envs.bidexhands.observation import agent_observations, global_state
from envs.bidexhands.readings import find_addresses, read
from envs.bidexhands.reconstruction import qpos_from_states
from envs.bidexhands.rewards import Outcome
from envs.bidexhands.scene import Scene
from envs.bidexhands.tasks import Task
from envs.bidexhands.warp_worlds import CONSTRAINTS, CONTACTS, WarpWorlds
from envs.bidexhands.worlds import Worlds
from envs.checks import identity, non_finite, require_actions, require_same, require_world, require_worlds
from envs.interface import BatchedEnvironment, CrowdedError, NonFiniteError, SimState, StepResult
from envs.rendering import ModelCamera


class WarpBiDexHands(BatchedEnvironment):
    """Like `BiDexHands`, but in float32 and in tensors.

    Contacts agree with MuJoCo's own engine closely, not exactly.

    Args:
        task: its name.
        num_envs: worlds; thousands on a GPU.
        seed: unused, since every episode starts from the same state.
        preset: of the constants.
        device: of the simulation and of all tensors; None: the GPU where there is one.
    """

    def __init__(
        self, task: str, num_envs: int, seed: int, preset: str, device: torch.device | None = None
    ) -> None:
        require_worlds(num_envs)
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.num_envs = num_envs
        self.task = Task(task, preset)
        self.spec = self.task.spec(f"mujoco-warp-{version('mujoco-warp')}")
        scene = self.task.build_scene()
        self._model = scene.model
        self._camera = ModelCamera(scene.model, "overview")
        self.steps_per_second = 1 / (scene.model.opt.timestep * self.task.constants.simulation.substeps)
        self._addresses = find_addresses(scene.model, self.task.kind.links)
        self._controls = find_controls(scene.model, self.task.constants.hand, self.task.own)
        self.worlds = WarpWorlds(
            scene, self._addresses, num_envs, self.device, self.task.constants.simulation.substeps
        )
        self._actions = torch.zeros(num_envs, self.spec.n_agents, self.spec.act_dim, device=self.device)
        self._first_state = self._find_first_state(scene)
        self._state = self._first_state.repeat(num_envs, 1)
        self._success = torch.zeros(num_envs, dtype=torch.bool, device=self.device)
        self._returns = torch.zeros(num_envs, dtype=torch.float64, device=self.device)
        self._lengths = torch.zeros(num_envs, dtype=torch.int64, device=self.device)

    def reset(
        self, seed: int | None = None
    ) -> tuple[Float[Tensor, "batch agents observation"], Float[Tensor, "batch state"]]:
        self._begin(torch.ones(self.num_envs, dtype=torch.bool, device=self.device))
        return agent_observations(self._state), self._state.clone()

    def step(self, actions: Float[Tensor, "batch agents action"]) -> StepResult:
        self._actions = self._checked(actions).clamp(-1, 1)
        targets, wrenches = (
            joint_targets(self._actions, self._controls),
            forearm_wrenches(self._actions, self._controls),
        )
        self.worlds.step(targets, wrenches, self._controls)
        self._state, (reward, failure, success) = self._read()
        crowded = self.worlds.crowded
        broken = crowded | ~(self._state.isfinite().all(dim=1) & reward.isfinite())
        reward = reward.where(~broken, 0)
        self._lengths += 1
        self._returns += reward
        self._success |= success & ~broken
        terminated = failure & ~broken
        truncated = broken | ~terminated & (self._lengths >= self.spec.episode_limit)
        info = {
            "final_obs": agent_observations(self._state),
            "final_state": self._state.clone(),
            "episode_return": self._returns.clone(),
            "episode_length": self._lengths.clone(),
            "success": self._success.clone(),
        }
        self._begin(terminated | truncated)
        result = StepResult(
            agent_observations(self._state), self._state.clone(), reward, terminated, truncated, info
        )
        if broken.any():
            worlds = broken.nonzero()[:, 0].tolist()
            raise self._broken(
                worlds, bool(crowded[worlds[0]]), int(info["episode_length"][worlds[0]]), result
            )
        return result

    def get_sim_state(self) -> SimState:
        own = {
            name: getattr(self, f"_{name}").cpu().numpy().copy()
            for name in ("state", "success", "returns", "lengths")
        }
        return identity(self.spec, self.num_envs) | {"own": own, "worlds": self.worlds.save()}

    def set_sim_state(self, saved: SimState) -> None:
        require_same(identity(self.spec, self.num_envs), saved)
        self.worlds.restore(saved["worlds"])
        for name, values in saved["own"].items():
            setattr(self, f"_{name}", torch.from_numpy(values).to(self.device))

    def render(
        self, world: int = 0, height: int = 240, width: int = 320
    ) -> UInt8[np.ndarray, "height width 3"]:
        require_world(world, self.num_envs)
        positions = self.worlds.arrays().qpos[world : world + 1].cpu().numpy().astype(np.float64)
        return self._camera.draw(positions, height, width)[0]

    def render_states(
        self, states: Float[Tensor, "time state"], height: int = 240, width: int = 320
    ) -> UInt8[np.ndarray, "time height width 3"]:
        return self._camera.draw(
            qpos_from_states(self.task, self._model, states.cpu().numpy()), height, width
        )

    def close(self) -> None:
        self._camera.close()

    def _find_first_state(self, scene: Scene) -> Float[Tensor, "1 state"]:
        """From MuJoCo's own engine, so that episodes start from the same numbers in both."""
        start = Worlds(scene, self._addresses, num_envs=1)
        start.reset(np.arange(1))
        readings = read(start.arrays(), self._addresses)
        actions = np.zeros((1, self.spec.n_agents, self.spec.act_dim))
        state = global_state(readings, self.task.points(readings), actions, self.task.constants.observation)
        return torch.from_numpy(state.astype(np.float32)).to(self.device)

    def _begin(self, worlds: Bool[Tensor, " batch"]) -> None:
        """Start episodes. Their first state is always the same, so nothing is computed."""
        self.worlds.restart(worlds)
        self._state = torch.where(worlds[:, None], self._first_state, self._state)
        for values in (self._success, self._returns, self._lengths):
            values.masked_fill_(worlds, 0)

    def _read(self) -> tuple[Float[Tensor, "batch state"], Outcome]:
        readings = read(self.worlds.arrays(), self._addresses)
        points = self.task.points(readings)
        state = global_state(readings, points, self._actions, self.task.constants.observation)
        return state, self.task.outcome(readings, points)

    def _checked(self, actions: Float[Tensor, "batch agents action"]) -> Float[Tensor, "batch agents action"]:
        actions = torch.as_tensor(actions, dtype=torch.float32, device=self.device)
        require_actions(actions.shape, self.spec, self.num_envs)
        broken = ~actions.isfinite().all(dim=2).all(dim=1)
        if broken.any():
            worlds = broken.nonzero()[:, 0].tolist()
            raise non_finite(self.spec, "the action", worlds, int(self._lengths[worlds[0]]) + 1)
        return actions

    def _broken(self, worlds: list[int], crowded: bool, step: int, result: StepResult) -> NonFiniteError:
        if not crowded:
            return non_finite(self.spec, "the state", worlds, step, result)
        room = f"has more contacts than there is room for ({CONTACTS}, {CONSTRAINTS} constraints)"
        message = f"{self.spec.task}: world {worlds[0]} {room} at step {step} of its episode"
        return CrowdedError(message, worlds, step, result)
