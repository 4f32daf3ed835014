"""Agents push one mass to a goal: a closed-form task, the oracle in tests of world models.

State (p_x, p_y, v_x, v_y, g_x, g_y) without units; 50 steps. In `push-mass` agent 0 has the force along x,
agent 1 along y.

`push-mass-N` has N agents in the same plane, agent i along d_i, the unit vector at the angle pi i / N, and f
= (2 / N) sum a_i d_i. Since sum d_i d_i^T = N / 2, a_i = d_i . u gives f = u for any N: every force of length
1 can be reached, and none longer than sqrt 2. (2 / N) sum a_i^2 is then |f|^2, and more if agents push
against each other. With two agents it is `push-mass`, number by number.

In `push-mass-coupled` both of two agents act on both axes, f = ((2 a_0 + a_1) / sqrt 5, (a_0 + 2 a_1) / sqrt
5), and both observe everything: does a world model that sees one agent's action at a time lose the other's?
The directions are 37 degrees apart (perpendicular ones would be `push-mass` rotated); across them the mass
moves only if the agents push against each other.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from envs.episodes import EpisodicEnvironment
from envs.interface import EnvSpec
from envs.push_mass_drawing import draw_scene

POSITION_LIMIT = 1.5
AGENTS = 2
"""Of `push-mass` itself and of `push-mass-coupled`."""
COUPLED = np.sqrt(0.2) * np.array([[2.0, 1.0], [1.0, 2.0]])
"""d_i of each agent of `push-mass-coupled`."""


def directions(agents: int) -> Float[np.ndarray, "agents 2"]:
    """d_i of each agent of `push-mass-N`: (cos, sin) of pi i / N, exactly 0 where they are. In float64."""
    angles = np.pi * np.arange(agents) / agents
    units = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    units[np.abs(units) < 1e-12] = 0
    return units


def next_state(
    state: Float[np.ndarray, "batch 6"],
    actions: Float[np.ndarray, "batch agents 1"],
    along: Float[np.ndarray, "agents 2"] | None = None,
) -> Float[np.ndarray, "batch 6"]:
    """v' = 0.9 v + 0.1 f + 0.02 (v_y, -v_x); p' = clip(p + 0.3 v', -1.5, 1.5); the goal stays. In float64.

    `along` as of `force`.
    """
    position, velocity, goal = np.split(state.astype(np.float64), 3, axis=1)
    crosswise = np.stack([velocity[:, 1], -velocity[:, 0]], axis=1)
    velocity = 0.9 * velocity + 0.1 * force(actions, along) + 0.02 * crosswise
    position = np.clip(position + 0.3 * velocity, -POSITION_LIMIT, POSITION_LIMIT)
    return np.concatenate([position, velocity, goal], axis=1)


def reward(
    successor: Float[np.ndarray, "batch 6"], actions: Float[np.ndarray, "batch agents 1"]
) -> Float[np.ndarray, " batch"]:
    """r = 1 - |p' - g| - 0.01 (2 / N) sum a_i^2, with the position after the step. In float64."""
    distance = np.linalg.norm(successor[:, 0:2].astype(np.float64) - successor[:, 4:6], axis=1)
    effort = 2 / actions.shape[1] * np.square(pushes(actions)).sum(axis=1)
    return 1 - distance - 0.01 * effort


def pushes(actions: Float[np.ndarray, "batch agents 1"]) -> Float[np.ndarray, "batch agents"]:
    """a_i: the agents' actions, clipped to [-1, 1]. In float64."""
    return np.clip(actions[:, :, 0].astype(np.float64), -1, 1)


def force(
    actions: Float[np.ndarray, "batch agents 1"], along: Float[np.ndarray, "agents 2"] | None = None
) -> Float[np.ndarray, "batch 2"]:
    """f = (2 / N) sum a_i d_i. In float64.

    `along` are the d_i (None: those of `push-mass-N`, so that f = (a_0, a_1) for two agents).
    """
    agents = actions.shape[1]
    return 2 / agents * (pushes(actions) @ (directions(agents) if along is None else along))


def force_between(
    state: Float[np.ndarray, "batch 6"], successor: Float[np.ndarray, "batch 6"]
) -> Float[np.ndarray, "batch 2"]:
    """The f from `state` to a perhaps predicted `successor`: `next_state` solved for f, in float64."""
    unforced = next_state(state, np.zeros((len(state), AGENTS, 1)))
    return (successor[:, 2:4].astype(np.float64) - unforced[:, 2:4]) / 0.1


class PushMass(EpisodicEnvironment):
    """p and g start uniform in [-1, 1]^2, v at 0.

    Agent i observes (p_i, v_i, g_i, one-hot i) with p_i = d_i . p etc.; in `push-mass-coupled` (p, v, g,
    one-hot i).
    """

    starts_afresh = True

    def __init__(self, task: str, num_envs: int, seed: int, preset: str) -> None:
        self._coupled = task == "push-mass-coupled"
        team = "" if self._coupled else task.removeprefix("push-mass").removeprefix("-")
        agents = int(team) if team else AGENTS
        spec = EnvSpec(
            task=task,
            suite="toy",
            n_agents=agents,
            obs_dim=(6 if self._coupled else 3) + agents,
            state_dim=6,
            act_dim=1,
            episode_limit=50,
            engine="numpy",
            lineage=f"{'push-mass-N' if team else task}-v1 (closed form)",
            preset=preset,
        )
        super().__init__(spec, num_envs, seed)
        # float32, as returned: `next_state` of a returned state is exactly its successor
        self._worlds = np.zeros((num_envs, spec.state_dim), dtype=np.float32)
        self._directions = COUPLED if self._coupled else directions(agents)
        # the last pushes, for pictures only
        self._pushes = np.zeros((num_envs, agents))

    def _begin_episodes(self, worlds: Int[np.ndarray, " ended"]) -> None:
        self._worlds[worlds, 2:4] = 0
        self._pushes[worlds] = 0
        for world in worlds:
            self._worlds[world, [0, 1, 4, 5]] = self._random[world].uniform(-1, 1, size=4)

    def _advance(
        self, actions: Float[np.ndarray, "batch agents 1"]
    ) -> tuple[Float[np.ndarray, " batch"], Bool[np.ndarray, " batch"]]:
        self._worlds[:] = next_state(self._worlds, actions, self._directions)
        self._pushes[:] = pushes(actions)
        return reward(self._worlds, actions), np.zeros(self.num_envs, dtype=np.bool_)

    def _engine_state(self) -> Float[np.ndarray, "batch 6"]:
        return self._worlds

    def _observe(self, state: Float[np.ndarray, "batch 6"]) -> Float[np.ndarray, "batch agents observation"]:
        agents = self.spec.n_agents
        if self._coupled:
            seen = np.broadcast_to(state[:, None], (len(state), agents, 6))
        else:
            seen = self._directions @ state.reshape(-1, 3, 2).swapaxes(1, 2)
        agent = np.broadcast_to(np.eye(agents), (len(state), agents, agents))
        return np.concatenate([seen, agent], axis=2)

    def _save_engine(self) -> dict[str, np.ndarray]:
        return {"worlds": self._worlds.copy()}

    def _restore_engine(self, saved: dict[str, np.ndarray]) -> None:
        self._worlds[:] = saved["worlds"]
        self._pushes[:] = 0

    def _draw_world(self, world: int, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        return draw_scene(self._worlds[world], self._pushes[world], self._directions, height, width)

    def _draw_states(
        self, states: Float[np.ndarray, "time 6"], height: int, width: int
    ) -> UInt8[np.ndarray, "time height width 3"]:
        # the pushes of least effort that give the force
        seen = np.zeros((len(states), self.spec.n_agents))
        seen[1:] = force_between(states[:-1], states[1:]) @ np.linalg.pinv(
            2 / self.spec.n_agents * self._directions
        )
        frames = [
            draw_scene(state, pushed, self._directions, height, width)
            for state, pushed in zip(states, seen, strict=True)
        ]
        return np.array(frames, dtype=np.uint8).reshape(len(states), height, width, 3)

    def close(self) -> None:
        """Nothing is held."""
