"""Measure in Isaac Gym: base damping, the door's spring, how a finger follows its target.

For an owner of Isaac Gym, inside its container: `python3.8 probe.py --output probe.json`; `fit` turns the
file into constants of the MuJoCo port. It takes a few hundred steps in one world of DoorOpenOutward. Not run
against Isaac Gym by us.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib import import_module
from typing import Any

import numpy as np
from simulation import RefusedError, Simulation

FORMAT, VERSION = "dima-isaacgym-probe", 1
TASK = "ShadowHandDoorOpenOutward"
SIZES = {"obs_dim": 218, "state_dim": 417, "act_dim": 26, "episode_limit": 250}
FORCE_ACTION = 1.0
TORQUE_ACTION = 0.25  # turns the hand little enough for its inertia to stay as it was
PUSH_STEPS, RETREAT_STEPS, DOOR_STEPS, FINGER_STEPS = 10, 60, 60, 30
RELEASE_ANGLE, RELEASE_SPEED = 0.3, 1.0  # away from the closed door, where a spring would show
FOREARM = 1  # body of a hand, the one that forces act on
FINGER = 3  # FFJ2, both among all joints and among the actuated ones
LEAVES = (2, 3)  # bodies of the door


class Probe:
    """The measurements, each from a fresh reset; the task's failure rules are switched off."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation, self._task = simulation, simulation.task
        self._gym, self._world = self._task.gym, self._task.envs[0]
        lower, upper, rest = (
            _numbers(getattr(self._task, f"shadow_hand_{name}"))
            for name in ("dof_lower_limits", "dof_upper_limits", "default_dof_pos")
        )
        hold = ((2 * rest - upper - lower) / (upper - lower))[
            _numbers(self._task.actuated_dof_indices).astype(int)
        ]
        self._hold = np.concatenate([np.zeros(6), hold]).astype(np.float32)

    def measure(self) -> dict[str, Any]:
        """All measurements."""
        self._step(self._hold, self._hold, begins=True)
        return {
            "hand": self._bodies("hand", 0, range(self._task.num_shadow_hand_bodies)),
            "force": [self._push(axis, FORCE_ACTION) for axis in range(3)],
            "torque": [self._push(axis, TORQUE_ACTION, of=3) for axis in range(3)],
            "door": self._release_door(),
            "finger": self._bend_finger(),
        }

    def _push(self, axis: int, size: float, of: int = 0) -> dict[str, Any]:
        """A constant force, or a torque, on the right hand from rest; velocities after each step."""
        action = self._hold.copy()
        action[of + axis] = size
        masses = self._masses()
        linear, angular = [], []
        for step in range(PUSH_STEPS):
            self._step(action, self._hold, begins=step == 0)
            moving = _numbers(self._task.rigid_body_states)[0, : len(masses), 7:]
            # Of the centre of mass, on which the fingers' own motion has no effect.
            linear.append((masses @ moving[:, :3] / masses.sum()).tolist())
            angular.append(moving[FOREARM, 3:].tolist())
        scale = self._task.transition_scale * 1e5 if of == 0 else self._task.orientation_scale * 1e3
        applied = (np.eye(3)[axis] * size * self._task.dt * scale).tolist()
        return {"applied": applied, "velocity": linear, "angular_velocity": angular}

    def _release_door(self) -> dict[str, Any]:
        """Both leaves let go while opening, hands out of the way; the first row is the release."""
        away = self._hold.copy()
        away[0] = FORCE_ACTION
        for step in range(RETREAT_STEPS):
            self._step(away, away, begins=step == 0)
        door = self._gym.find_actor_handle(self._world, "object")
        found = self._bodies("object", 2 * self._task.num_shadow_hand_bodies, LEAVES)
        properties = self._gym.get_actor_dof_properties(self._world, door)
        self._task.object_dof_pos[0, :] = RELEASE_ANGLE
        self._task.object_dof_vel[0, :] = RELEASE_SPEED
        self._set_door_state()
        angles, speeds = [[RELEASE_ANGLE] * 2], [[RELEASE_SPEED] * 2]
        for _ in range(DOOR_STEPS):
            self._step(self._hold, self._hold)
            angles.append(_numbers(self._task.object_dof_pos)[0, :2].tolist())
            speeds.append(_numbers(self._task.object_dof_vel)[0, :2].tolist())
        drive = {name: [float(value) for value in properties[name]] for name in properties.dtype.names}
        return {"leaves": found, "drive": drive, "angle": angles, "speed": speeds}

    def _set_door_state(self) -> None:
        gymtorch = import_module("isaacgym.gymtorch")
        index = _numbers(self._task.object_indices)[:1].astype(np.int32)
        actors = self._simulation.torch.as_tensor(index, device=self._task.device)
        self._gym.set_dof_state_tensor_indexed(
            self._task.sim, gymtorch.unwrap_tensor(self._task.dof_state), gymtorch.unwrap_tensor(actors), 1
        )

    def _bend_finger(self) -> dict[str, Any]:
        """The index finger's middle joint sent to the middle of its range; its angle after each step."""
        action = self._hold.copy()
        action[6 + FINGER] = 0
        angles = []
        for step in range(FINGER_STEPS):
            self._step(action, self._hold, begins=step == 0)
            angles.append(float(_numbers(self._task.shadow_hand_dof_pos)[0, FINGER]))
        limits = [
            float(_numbers(getattr(self._task, f"shadow_hand_dof_{side}_limits"))[FINGER])
            for side in ("lower", "upper")
        ]
        return {"joint": FINGER, "target": sum(limits) / 2, "angle": angles}

    def _step(self, right: np.ndarray, left: np.ndarray, begins: bool = False) -> None:
        self._simulation.step(np.stack([right, left])[None], np.array([begins]))
        self._task.reset_buf[:] = 0
        self._task.progress_buf[:] = 0

    def _masses(self) -> np.ndarray:
        hand = self._gym.find_actor_handle(self._world, "hand")
        return np.array([body.mass for body in self._gym.get_actor_rigid_body_properties(self._world, hand)])

    def _bodies(self, actor: str, first: int, which: Any) -> list[dict[str, Any]]:
        """Mass, centre and inertia (in the body's frame, about its centre), and where the frame is."""
        handle = self._gym.find_actor_handle(self._world, actor)
        properties = self._gym.get_actor_rigid_body_properties(self._world, handle)
        poses = _numbers(self._task.rigid_body_states)[0]
        found = []
        for body in which:
            own, pose = properties[body], poses[first + body]
            rows = [[row.x, row.y, row.z] for row in (own.inertia.x, own.inertia.y, own.inertia.z)]
            place = {"position": pose[:3].tolist(), "orientation_xyzw": pose[3:7].tolist()}
            found.append(
                {"mass": own.mass, "centre": [own.com.x, own.com.y, own.com.z], "inertia": rows, **place}
            )
        return found


def main() -> None:
    """Measure and write; an existing file is left alone."""
    parser = argparse.ArgumentParser(
        description="Measure base damping, door spring and finger response in Isaac Gym."
    )
    parser.add_argument("--output", required=True, help="JSON file to write")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.path.pop(0)  # the task's code must not import modules of this folder
    output = os.path.abspath(arguments.output)  # the task's code changes the working folder
    if os.path.exists(output):
        sys.exit(f"{output} exists: choose another name")
    try:
        simulation = Simulation(TASK, 1, arguments.seed, **SIZES)
    except RefusedError as error:
        sys.exit(str(error))
    parameters = simulation.task.sim_params
    setting = {
        "task": TASK,
        "seed": arguments.seed,
        "dt": float(parameters.dt),
        "substeps": int(parameters.substeps),
    }
    measured = Probe(simulation).measure()
    content = {"format": FORMAT, "version": VERSION, "versions": simulation.facts, **setting, **measured}
    with open(output, "x", encoding="utf-8") as file:
        json.dump(content, file, indent=1, allow_nan=False)
        file.write("\n")
    print(f"wrote {output}")


def _numbers(tensor: Any) -> np.ndarray:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float64)


if __name__ == "__main__":
    main()
