"""What agents see: the whole state with their id, or the joints near their own."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from jaxtyping import Float, Int

from envs.mamujoco.robots import Robots

# gymnasium-robotics ships no split of a six-jointed robot among three agents: these are the joint sets of the
# original MAMuJoCo (obsk.py, as HARL carries it), each agent's actions in the order of its joints here.
THREE_BY_TWO = {
    "HalfCheetah": (("bfoot", "bshin"), ("bthigh", "ffoot"), ("fshin", "fthigh")),
    "Walker2d": (
        ("foot_joint", "leg_joint"),
        ("thigh_joint", "foot_left_joint"),
        ("leg_left_joint", "thigh_left_joint"),
    ),
}

SMALLEST_GAP = 0.01
"""Between the two values of the id in a scaled observation: 1 / the deviation of (state, id), which no real
state brings to 100."""


def feature_zscore(
    state: Float[np.ndarray, "batch state"], n_agents: int
) -> Float[np.ndarray, "batch agents observation"]:
    """z(x) = (x - mean(x)) / std(x) over the features of x = (state, one-hot agent id), per world and agent.

    Population deviation, no epsilon: with two or more agents the one-hot id alone keeps it above 0. The
    agents of a world see the same numbers with the id's in another order, so the first agent's are computed
    and handed out to all.
    """
    batch, state_dim = state.shape
    features = np.zeros((batch, state_dim + n_agents))
    features[:, :state_dim] = state
    features[:, state_dim] = 1
    size = features.shape[1]
    features -= np.add.reduce(features, axis=1, keepdims=True) / size
    features /= np.sqrt(np.add.reduce(np.square(features), axis=1, keepdims=True) / size)
    return features.take(_order_of_agents(state_dim, n_agents), axis=1)


def states_seen(
    observations: Float[np.ndarray, "time agents observation"],
) -> Float[np.ndarray, "time state"]:
    """The states behind the observations that `feature_zscore` makes, also behind predicted ones.

    An agent's id entries, v_own where the id is 1 and v_other where it is 0, give the scale
    (docs/method.md#observations): sigma = 1 / (v_own - v_other), mu = -sigma v_other, with the mean over the
    other agents as v_other; its view of the state is mu + sigma v. The agents' views are averaged. A gap
    v_own - v_other below `SMALLEST_GAP`, or none in the right direction, as only a prediction can have,
    counts as that: the state comes out distorted and never infinite.
    """
    values = observations.astype(np.float64)
    agents = values.shape[1]
    features, ids = values[..., :-agents], values[..., -agents:]
    own = np.einsum("tii->ti", ids)
    other = (ids.sum(axis=2) - own) / (agents - 1)
    sigma = 1 / np.maximum(own - other, SMALLEST_GAP)
    return (sigma[..., None] * (features - other[..., None])).mean(axis=1)


@cache
def _order_of_agents(state_dim: int, n_agents: int) -> Int[np.ndarray, "agents observation"]:
    """Where each agent finds its numbers in those of the first.

    The state as it is, the id's 1 at the agent's own place.
    """
    order = np.tile(np.arange(state_dim + n_agents), (n_agents, 1))
    order[:, state_dim:] = np.where(np.eye(n_agents, dtype=np.bool_), state_dim, state_dim + 1)
    return order


class FullView:
    """Every agent sees the whole state and its one-hot id, scaled.

    Agent i drives the actuators [i*a, (i+1)*a) in XML order.
    """

    def __init__(self, state_dim: int, n_agents: int) -> None:
        self.n_agents = n_agents
        self.obs_dim = state_dim + n_agents

    def controls(
        self, actions: Float[np.ndarray, "batch agents action"]
    ) -> Float[np.ndarray, "batch actuators"]:
        """The actions in the order of the robot's actuators."""
        return actions.reshape(len(actions), -1)

    def observe(
        self, robots: Robots, state: Float[np.ndarray, "batch state"]
    ) -> Float[np.ndarray, "batch agents observation"]:
        """What each agent sees of the state."""
        return feature_zscore(state, self.n_agents)


class LocalView:
    """Gymnasium-robotics' mamujoco_v1 with its default `agent_obsk` of 1.

    An agent sees its joints, their neighbours and the root.

    `actuators` [n * a]: which action drives each actuator, the agents' actions one after the other.
    `features` [n, o]: which of the robots' features each number of an observation is; one past the last is
    the 0 that pads an agent who sees less than the widest view. The velocities among them are not clipped,
    other than the state's.
    """

    def __init__(self, robot: MujocoEnv, state_dim: int, scenario: str, split: str) -> None:
        from gymnasium_robotics.envs.multiagent_mujoco import mujoco_multi, obsk

        factorization = None
        if split == "3x2":
            (joints,), edges, root = obsk.get_parts_and_edges(scenario, None)
            named = {joint.label: joint for joint in joints}
            partition = [tuple(named[joint] for joint in agent) for agent in THREE_BY_TWO[scenario]]
            factorization = {"partition": partition, "edges": edges, "globals": root}
        tables: Any = mujoco_multi.MultiAgentMujocoEnv(
            scenario, split, agent_factorization=factorization, gym_env=robot
        )
        driven = [joint.act_ids for agent in tables.agent_action_partitions for joint in agent]
        self.actuators: Int[np.ndarray, " actuators"] = np.argsort(driven)
        views = list(tables.observation_factorization.values())
        self.obs_dim = max(map(len, views))
        self.features: Int[np.ndarray, "agents observation"] = np.full((len(views), self.obs_dim), state_dim)
        for row, view in zip(self.features, views, strict=True):
            row[: len(view)] = view

    def controls(
        self, actions: Float[np.ndarray, "batch agents action"]
    ) -> Float[np.ndarray, "batch actuators"]:
        """The actions in the order of the robot's actuators, in float64 as the package hands them on."""
        return actions.reshape(len(actions), -1).take(self.actuators, axis=1).astype(np.float64)

    def observe(
        self, robots: Robots, state: Float[np.ndarray, "batch state"]
    ) -> Float[np.ndarray, "batch agents observation"]:
        """What each agent sees of the robots."""
        padded = np.concatenate([robots.features(), np.zeros((len(state), 1))], axis=1)
        return padded.take(self.features, axis=1)
