"""What agents see: the whole state with their id, or the joints near their own."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from jaxtyping import Float, Int

from envs.mamujoco.robots import Robots

# Joint sets of the original MAMuJoCo (obsk.py in HARL), since gymnasium-robotics does not split six joints
# among three agents; an agent's actions are in this order.
THREE_BY_TWO = {
    "HalfCheetah": (("bfoot", "bshin"), ("bthigh", "ffoot"), ("fshin", "fthigh")),
    "Walker2d": (
        ("foot_joint", "leg_joint"),
        ("thigh_joint", "foot_left_joint"),
        ("leg_left_joint", "thigh_left_joint"),
    ),
}

SMALLEST_GAP = 0.01
"""Least gap between the two scaled values of the id, 1 / std(state, id); real states have std < 100."""


def feature_zscore(
    state: Float[np.ndarray, "batch state"], n_agents: int
) -> Float[np.ndarray, "batch agents observation"]:
    """z(x) = (x - mean(x)) / std(x) over the features of x = (state, one-hot agent id), per world and agent.

    Population deviation, no epsilon: with two or more agents the id keeps it above 0. Agents see the same
    numbers with the id's in another order, so only the first agent's are computed.
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
    """The states behind observations of `feature_zscore`, also behind predicted ones.

    An agent's id entries, v_own where the id is 1 and v_other where it is 0, give the scale
    (docs/method.md#observations): sigma = 1 / (v_own - v_other), mu = -sigma v_other, with the mean over the
    other agents as v_other; its view of the state is mu + sigma v. The agents' views are averaged.
    Predictions can have a gap v_own - v_other below `SMALLEST_GAP`, which replaces it: the state is
    distorted, not infinite.
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
    """Indices of each agent's numbers among the first agent's: the state, then the id with its own 1."""
    order = np.tile(np.arange(state_dim + n_agents), (n_agents, 1))
    order[:, state_dim:] = np.where(np.eye(n_agents, dtype=np.bool_), state_dim, state_dim + 1)
    return order


class FullView:
    """Agents see the scaled state and one-hot id; agent i drives actuators [i*a, (i+1)*a) in XML order."""

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
    """mamujoco_v1 of gymnasium-robotics (`agent_obsk` 1): an agent sees its joints, neighbours and the root.

    `actuators` [n * a]: the action, among all agents' in order, that drives each actuator. `features` [n, o]:
    the robots' feature behind each number of an observation; one past the last is a padding 0. Unlike the
    state's, velocities are not clipped.
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
        """The actions in the order of the robot's actuators, in float64 as in the package."""
        return actions.reshape(len(actions), -1).take(self.actuators, axis=1).astype(np.float64)

    def observe(
        self, robots: Robots, state: Float[np.ndarray, "batch state"]
    ) -> Float[np.ndarray, "batch agents observation"]:
        """What each agent sees of the robots."""
        padded = np.concatenate([robots.features(), np.zeros((len(state), 1))], axis=1)
        return padded.take(self.features, axis=1)
