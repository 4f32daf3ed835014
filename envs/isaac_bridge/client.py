"""Bi-DexHands in Isaac Gym, the engine of the paper's numbers, through a process of its own.

Not run against Isaac Gym by us.

The original resets a world at the beginning of the step after its last, so the reset state is never visible.
Here an episode begins with what the world shows one control step (1/60 s) after a reset under actions of 0,
measured once: the reset is deterministic. The simulation gets exactly the original's calls, in their order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import numpy as np
from jaxtyping import Bool, Float, Int

from envs.episodes import EpisodicEnvironment
from envs.interface import EnvSpec, MissingExtraError, SimState, UnsupportedSimStateError
from envs.isaac_bridge.connection import (
    COMMAND_VARIABLE,
    OPEN_SECONDS,
    SOCKET_VARIABLE,
    STEP_SECONDS,
    IsaacGymError,
    Server,
    is_configured,
)
from envs.isaac_bridge.protocol import Message

ACT_DIM = 26
TASKS = {  # the original's name, numbers of an agent's observation and of the state, steps of an episode
    "bottle-cap": ("ShadowHandBottleCap", 221, 420, 125),
    "door-open-inward": ("ShadowHandDoorOpenInward", 218, 417, 250),
    "door-open-outward": ("ShadowHandDoorOpenOutward", 218, 417, 250),
    "pen": ("ShadowHandPen", 218, 417, 125),
}


class IsaacGymEnvironment(EpisodicEnvironment):
    """The original task; `reset(seed)` seeds nothing, since its reset draws nothing.

    A failure on the last step of an episode counts as truncated: the original's buffers do not distinguish
    them. `starts_afresh` is False: PhysX keeps contacts from step to step, which only a new process drops.
    Raises IsaacGymError, also from `step`, when the other process refuses, dies or does not answer.
    """

    observation_bound = 5.0

    def __init__(self, task: str, num_envs: int, seed: int, preset: str) -> None:
        original, obs_dim, state_dim, episode_limit = TASKS[task]
        spec = EnvSpec(
            task=task,
            suite="bidexhands",
            n_agents=2,
            obs_dim=obs_dim,
            state_dim=state_dim,
            act_dim=ACT_DIM,
            episode_limit=episode_limit,
            engine="isaacgym",
            lineage="",
            preset=preset,
        )
        super().__init__(spec, num_envs, seed)
        if not is_configured():
            raise MissingExtraError(_how_to_supply(task))
        self._server = Server()
        opened = self._ask(
            "open",
            {"task": original, "num_envs": num_envs, "seed": seed} | _sizes(spec),
            {},
            "opened",
            OPEN_SECONDS,
        )
        version, device = opened.fields["isaacgym"], str(opened.fields["device"]).split(":")[0]
        self.spec = replace(
            spec, engine=f"isaacgym-{version}", lineage=f"BiDexHands-{original}/isaacgym-{version}/{device}"
        )
        self._first_obs, self._first_state = opened.arrays["obs"], opened.arrays["state"]
        self._obs, self._states = self._first_obs.copy(), self._first_state.copy()
        self._begins = np.ones(num_envs, dtype=np.bool_)
        self._success = np.zeros(num_envs, dtype=np.bool_)

    def _begin_episodes(self, worlds: Int[np.ndarray, " ended"]) -> None:
        self._begins[worlds] = True
        self._obs[worlds] = self._first_obs[worlds]
        self._states[worlds] = self._first_state[worlds]

    def _advance(
        self, actions: Float[np.ndarray, "batch agents action"]
    ) -> tuple[Float[np.ndarray, " batch"], Bool[np.ndarray, " batch"]]:
        stepped = self._ask(
            "step", {}, {"actions": actions, "begins": self._begins}, "stepped", STEP_SECONDS
        ).arrays
        self._begins[:] = False
        self._obs, self._states, self._success = stepped["obs"], stepped["state"], stepped["success"]
        if (stepped["progress"] != self._lengths + 1).any():
            self.close()
            counts = f"{stepped['progress']} of its episodes, this side {self._lengths + 1}"
            raise IsaacGymError(f"Isaac Gym counts the steps {counts}")
        return stepped["reward"].astype(np.float64), stepped["done"] & (
            stepped["progress"] < self.spec.episode_limit
        )

    def _task_info(self) -> dict[str, np.ndarray]:
        return {"success": self._success}

    def _engine_state(self) -> Float[np.ndarray, "batch state"]:
        return self._states

    def _observe(
        self, state: Float[np.ndarray, "batch state"]
    ) -> Float[np.ndarray, "batch agents observation"]:
        return self._obs  # as the engine composed them

    def set_sim_state(self, saved: SimState) -> None:
        self._refuse_sim_state()

    def _save_engine(self) -> dict[str, np.ndarray]:
        self._refuse_sim_state()

    def _restore_engine(self, saved: dict[str, np.ndarray]) -> None:
        self._refuse_sim_state()

    def _refuse_sim_state(self) -> NoReturn:
        raise UnsupportedSimStateError(
            f"{self.spec.task} runs in {self.spec.engine}, which cannot restore its state bit for bit: "
            "what runs in it cannot be resumed"
        )

    def _ask(
        self, kind: str, fields: dict[str, object], arrays: dict[str, np.ndarray], answer: str, seconds: float
    ) -> Message:
        """The server's answer, its arrays checked."""
        message = self._server.ask(kind, fields, arrays, answer, seconds)
        spec, worlds = self.spec, self.num_envs
        shapes = {
            "obs": ((worlds, spec.n_agents, spec.obs_dim), "f"),
            "state": ((worlds, spec.state_dim), "f"),
        }
        if kind == "step":
            shapes |= {
                name: ((worlds,), dtype)
                for name, dtype in (("reward", "f"), ("done", "b"), ("progress", "i"), ("success", "b"))
            }
        found = {name: (array.shape, array.dtype.kind) for name, array in message.arrays.items()}
        if found != shapes:
            self.close()
            raise IsaacGymError(f"Isaac Gym's process answered with arrays {found}, they have to be {shapes}")
        return message

    def close(self) -> None:
        self._server.close()


def _sizes(spec: EnvSpec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in ("obs_dim", "state_dim", "act_dim", "episode_limit")}


def _how_to_supply(task: str) -> str:
    return (
        f"task {task!r} in engine 'isaacgym' needs Isaac Gym Preview 4, a tarball that only NVIDIA "
        f"gives out: set {COMMAND_VARIABLE} to the Python 3.8 that has it and DexterousHands, "
        "such as 'apptainer exec --nv isaacgym.sif python3.8' (containers/isaacgym.def), "
        f"or {SOCKET_VARIABLE} to the socket of a server already running; "
        "this bridge was not run against Isaac Gym by us"
    )
