"""Stand-in for the calls into the simulator that the probe makes; everything else of it is in
`stand_in_task`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from isaacgym.gymtorch import Unwrapped

DOF_FIELDS = [
    "hasLimits",
    "lower",
    "upper",
    "driveMode",
    "velocity",
    "effort",
    "stiffness",
    "damping",
    "friction",
    "armature",
]


SIM_PHYSX, SIM_FLEX = object(), object()


class SimParams:
    """Filled by `parse_sim_params`."""

    def __init__(self) -> None:
        self.dt, self.substeps, self.physx = 0.0, 0, SimpleNamespace()


class Vec3:
    def __init__(self, x: float, y: float, z: float) -> None:
        self.x, self.y, self.z = x, y, z


class Mat33:
    def __init__(self, diagonal: tuple[float, float, float]) -> None:
        self.x, self.y, self.z = Vec3(diagonal[0], 0, 0), Vec3(0, diagonal[1], 0), Vec3(0, 0, diagonal[2])


class RigidBodyProperties:
    def __init__(
        self, mass: float, com: tuple[float, float, float], inertia: tuple[float, float, float]
    ) -> None:
        self.mass, self.com, self.inertia = mass, Vec3(*com), Mat33(inertia)


class Gym:
    """What the probe asks of the simulator about world 0."""

    def __init__(self) -> None:
        self.task: Any = None
        self.state_was_set = False

    def find_actor_handle(self, env: object, name: str) -> int:
        assert env is self.task.envs[0]
        return ["hand", "another_hand", "object", "goal_object"].index(name)

    def get_actor_rigid_body_properties(self, env: object, actor: int) -> list[RigidBodyProperties]:
        assert env is self.task.envs[0]
        return [RigidBodyProperties(*body) for body in self.task.body_properties(actor)]

    def get_actor_dof_properties(self, env: object, actor: int) -> np.ndarray:
        assert env is self.task.envs[0]
        assert actor == 2
        properties = np.zeros(2, dtype=[(name, np.float32) for name in DOF_FIELDS])
        properties["stiffness"], properties["damping"] = self.task.drive
        return properties

    def set_dof_state_tensor_indexed(self, sim: object, states: object, actors: object, count: int) -> bool:
        assert sim is self.task.sim
        assert isinstance(states, Unwrapped)
        assert states.tensor is self.task.dof_state, "the whole state tensor has to be given"
        assert isinstance(actors, Unwrapped)
        indices = actors.tensor.cpu().numpy()
        assert indices.dtype == np.int32
        assert list(indices) == [2]
        assert count == 1
        assert not self.state_was_set, "the simulator takes one such call between two steps"
        self.state_was_set = True
        self.task.take_object_state()
        return True


GYM = Gym()


def acquire_gym() -> Gym:
    return GYM
