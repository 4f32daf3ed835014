"""A task with the original's buffers, lazy reset and spaces, around dynamics that can be worked out by hand.

p <- p + 0.1 (first number of the right hand's action); reward 1 - |p|; success (until the reset) once p >
0.55; failure once |p| > 1 or a leaf is open. Bases: v <- v + h (F/m - c v), damped in one of two ways; the
door's leaves: I q'' = -k q - d q'; joints go half of the way to their target each step. Everything but the
joints starts at 0.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np
import torch
from isaacgym import gymapi

HAND_OBS, HAND_BODIES, JOINTS, LIMIT = 199, 26, 24, 0.8
ACTUATED = [0, 1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 17, 19, 20, 21, 22, 23]
MASS, INERTIA = 5.0, (0.026, 0.026, 0.011)
LEAF_MASS, LEAF_COM, LEAF_INERTIA = 3.6, (0.2, 0.0, 0.0), (0.05, 0.05, 0.06)
HINGE_INERTIA = LEAF_INERTIA[2] + LEAF_MASS * LEAF_COM[0] ** 2
FAULT = os.environ.get("ISAAC_STAND_IN_FAULT", "")
DAMPING = float(os.environ.get("ISAAC_STAND_IN_DAMPING", "100"))
AFTERWARDS = os.environ.get("ISAAC_STAND_IN_DAMPED", "implicitly") == "afterwards"
DRIVE = (5.0, 1.0) if os.environ.get("ISAAC_STAND_IN_SPRING", "acts") == "acts" else (0.0, 0.0)


class Space:
    def __init__(self, size: int) -> None:
        self.shape = (size,)


class StandInTask:
    def __init__(self, name: str, cfg: dict[str, Any], sim_params: Any, agent_index: Any) -> None:
        env = cfg["env"]
        assert cfg["headless"], "there is no display"
        assert not cfg["task"]["randomize"]
        assert not env["asymmetric_observations"]
        assert not any(os.path.exists(os.path.join(folder, "simulation.py")) for folder in sys.path), (
            "the bridge's files could shadow others"
        )
        assert [env[key] for key in env if key.startswith("reset")] == [0.0] * 4
        assert isinstance(sim_params, gymapi.SimParams)
        assert agent_index == [[[0, 1, 2, 3, 4, 5]], [[0, 1, 2, 3, 4, 5]]]
        full = 420 if name == "ShadowHandBottleCap" else 417
        self.num_obs = (
            full if env["observationType"] == "full_state" and FAULT != "spaces" else full + 768 * 3
        )
        if FAULT == "quit":
            print("*** Failed to create sim")
            raise SystemExit
        self.gym, self.sim, self.envs = (
            gymapi.acquire_gym(),
            object(),
            [object() for _ in range(env["numEnvs"])],
        )
        self.gym.task, self.device, self.dt, self.sim_params = self, "cpu", sim_params.dt, sim_params
        self.transition_scale, self.orientation_scale = (0.5, 0.5) if "Door" in name else (0.1, 0.1)
        self.max_episode_length, self.num_envs, self.num_shadow_hand_bodies, self.drive = (
            env["episodeLength"],
            env["numEnvs"],
            26,
            (5.0, 1.0),
        )
        self._drawn = np.random.uniform()
        self._make_buffers()

    def _make_buffers(self) -> None:
        worlds = self.num_envs
        self._arrays = {
            "reset_buf": np.ones(worlds, dtype=np.int64),
            "progress_buf": np.zeros(worlds, dtype=np.int64),
            "successes": np.zeros(worlds, dtype=np.float32),
            "rew_buf": np.zeros(worlds, dtype=np.float32),
            "obs_buf": np.zeros((worlds, self.num_obs), dtype=np.float32),
            "dof_state": np.zeros((worlds * (2 * JOINTS + 4), 2), dtype=np.float32),
            "root_state_tensor": np.zeros((worlds * 4, 13), dtype=np.float32),
            "rigid_body_states": np.zeros((worlds, 2 * HAND_BODIES + 8, 13), dtype=np.float32),
            "shadow_hand_default_dof_pos": np.full(JOINTS, 0.1, dtype=np.float32),
            "shadow_hand_dof_lower_limits": np.full(JOINTS, -LIMIT + 0.2, dtype=np.float32),
            "shadow_hand_dof_upper_limits": np.full(JOINTS, LIMIT + 0.2, dtype=np.float32),
            "actuated_dof_indices": np.array(ACTUATED),
            "object_indices": np.arange(2, 4 * worlds, 4),
        }
        for name, array in self._arrays.items():
            setattr(self, name, torch.from_numpy(array))
        self._arrays["rigid_body_states"][:, :, 6] = 1
        self._dof = self._arrays["dof_state"].reshape(worlds, -1, 2)
        for name, first, last in (("shadow_hand_dof", 0, JOINTS), ("object_dof", 2 * JOINTS, 2 * JOINTS + 2)):
            setattr(self, name + "_pos", torch.from_numpy(self._dof[:, first:last, 0]))
            setattr(self, name + "_vel", torch.from_numpy(self._dof[:, first:last, 1]))
        self._place = np.zeros(worlds)
        self._base = np.zeros((worlds, 2, 2, 3))
        self._leaves = np.zeros((worlds, 2, 2))
        self._joints = np.zeros((worlds, 2, JOINTS))

    def body_properties(self, actor: int) -> list[tuple[float, tuple[float, ...], tuple[float, ...]]]:
        if actor < 2:
            rest = (MASS - 4.0) / 25
            return [
                (4.0 if body == 1 else rest, (0.0, 0.0, 0.0), tuple(i / 26 for i in INERTIA))
                for body in range(26)
            ]
        frame = (9.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        return [frame, frame, *[(LEAF_MASS, LEAF_COM, LEAF_INERTIA)] * 2]

    def take_object_state(self) -> None:
        self._leaves[:] = self._dof[:, 2 * JOINTS : 2 * JOINTS + 2]

    def step(self, actions: np.ndarray) -> None:
        self._reset(np.flatnonzero(self._arrays["reset_buf"]))
        self._place += 0.1 * actions[:, 0]
        lower, upper = (
            self._arrays[f"shadow_hand_dof_{side}_limits"][ACTUATED] for side in ("lower", "upper")
        )
        for hand in range(2):
            own = actions[:, 26 * hand : 26 * hand + 26]
            target = lower + 0.5 * (own[:, 6:] + 1) * (upper - lower)
            self._joints[:, hand, ACTUATED] += 0.5 * (target - self._joints[:, hand, ACTUATED])
            force, torque = (
                own[:, 0:3] * self.dt * self.transition_scale * 1e5,
                own[:, 3:6] * self.dt * self.orientation_scale * 1e3,
            )
            for _ in range(self.sim_params.substeps):
                self._push(self._base[:, hand, 0], force / MASS)
                self._push(self._base[:, hand, 1], torque / np.array(INERTIA))
        for _ in range(self.sim_params.substeps):
            self._swing()
        self.gym.state_was_set = False
        self._arrays["progress_buf"] += 1
        self._observe(actions)
        self._judge()

    def _push(self, velocity: np.ndarray, acceleration: np.ndarray) -> None:
        h = self.dt / self.sim_params.substeps
        velocity += h * acceleration
        velocity *= 1 - DAMPING * h if AFTERWARDS else 1 / (1 + DAMPING * h)

    def _swing(self) -> None:
        h, angle, speed = self.dt / self.sim_params.substeps, self._leaves[:, :, 0], self._leaves[:, :, 1]
        speed[:] = (HINGE_INERTIA * speed - h * DRIVE[0] * angle) / (HINGE_INERTIA + h * DRIVE[1])
        angle += h * speed

    def _reset(self, worlds: np.ndarray) -> None:
        for state in (self._place, self._base, self._leaves):
            state[worlds] = 0
        self._joints[worlds] = self._arrays["shadow_hand_default_dof_pos"]
        for name in ("progress_buf", "reset_buf", "successes"):
            self._arrays[name][worlds] = 0

    def _observe(self, actions: np.ndarray) -> None:
        self._dof[:, :JOINTS, 0], self._dof[:, JOINTS : 2 * JOINTS, 0] = (
            self._joints[:, 0],
            self._joints[:, 1],
        )
        self._dof[:, 2 * JOINTS : 2 * JOINTS + 2] = self._leaves
        bodies = self._arrays["rigid_body_states"]
        bodies[:, :HAND_BODIES, 7:] = self._base[:, 0].reshape(-1, 1, 6)
        bodies[:, 2:HAND_BODIES, 7] += 0.3 * (-1) ** np.arange(24)  # fingers move against each other
        bodies[:, HAND_BODIES : 2 * HAND_BODIES, 7:] = self._base[:, 1].reshape(-1, 1, 6)
        obs = self._arrays["obs_buf"]
        obs[:, 0:JOINTS], obs[:, HAND_OBS : HAND_OBS + JOINTS] = (
            self._joints[:, 0] / LIMIT,
            self._joints[:, 1] / LIMIT,
        )
        obs[:, 173:199], obs[:, 372:398] = actions[:, :26], actions[:, 26:]
        obs[:, 398:402] = np.stack(
            [
                self._place,
                0.1 * np.arange(self.num_envs),
                np.full(self.num_envs, 7.0),
                np.full(self.num_envs, self._drawn),
            ],
            axis=1,
        )

    def _judge(self) -> None:
        buffers, distance = self._arrays, np.abs(self._place)
        buffers["rew_buf"][:] = 1 - distance
        buffers["successes"][self._place > 0.55] = 1
        buffers["reset_buf"][
            (distance > 1 + 1e-6)
            | (self._leaves[:, 0, 0] > 0.31)
            | (buffers["progress_buf"] >= self.max_episode_length)
        ] = 1
        if FAULT == "ends at once":
            buffers["reset_buf"][-1] = 1


class StandInEnvironment:
    num_agents, rl_device = 2, "cpu"

    def __init__(self, task: StandInTask) -> None:
        self.task, self.num_envs = task, task.num_envs
        self.observation_space = [Space(task.num_obs - HAND_OBS)] * 2
        self.share_observation_space = [Space(task.num_obs)] * 2
        self.action_space = (Space(26), Space(26))
        self._steps = 0

    def step(self, actions: Any) -> tuple[Any, ...]:
        assert isinstance(actions, torch.Tensor)
        assert tuple(actions.shape) == (2, self.num_envs, 26)
        given = actions.cpu().numpy()
        assert given.dtype == np.float32
        self._misbehave()
        self.task.step(np.concatenate(np.clip(given, -1, 1), axis=1))
        buffer = np.clip(self.task.obs_buf.cpu().numpy(), -5, 5)
        shared = buffer[:, 2 * HAND_OBS :]
        hands = [buffer[:, :HAND_OBS], buffer[:, HAND_OBS : 2 * HAND_OBS]]
        obs = np.stack([np.concatenate([hand, shared], axis=1) for hand in hands], axis=1)
        reward, done = (getattr(self.task, name).cpu().numpy() for name in ("rew_buf", "reset_buf"))
        by_agent = (
            obs,
            np.stack([buffer] * 2, axis=1),
            np.stack([reward] * 2, axis=1)[:, :, None],
            np.stack([done] * 2, axis=1),
        )
        return (*(torch.from_numpy(array) for array in by_agent), None, None)

    def _misbehave(self) -> None:
        self._steps += 1
        if self._steps != 4:  # the first shows the reset
            return
        if FAULT == "crash":
            print("PhysX: the last line", flush=True)
            os._exit(7)
        if FAULT == "raise":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if FAULT == "hang":
            time.sleep(60)
        if FAULT == "not a number":
            self.task._place[-1] = np.nan
        if FAULT == "lost count":
            self.task._arrays["progress_buf"][0] += 1
