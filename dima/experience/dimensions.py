"""The sizes that networks and memories are made for."""

from __future__ import annotations

from typing import NamedTuple

from envs import EnvSpec


class Dimensions(NamedTuple):
    """Numbers in a global state (D), agents (N), numbers in an agent's observation (O) and action (A)."""

    state: int
    agents: int
    observation: int
    action: int

    @classmethod
    def of(cls, spec: EnvSpec) -> Dimensions:
        """Those of an environment."""
        return cls(spec.state_dim, spec.n_agents, spec.obs_dim, spec.act_dim)
