"""MAMuJoCo: one of gymnasium's robots whose actuators are split among agents.

The preset `paper` is the task of the paper's baselines: full observability, rewards and states of the v2
robots. `gymnasium-robotics` is that package's mamujoco_v1: local observations and the v5 robots.
"""

from __future__ import annotations

from envs.mamujoco.environment import MultiAgentMujoco

__all__ = ["MultiAgentMujoco"]
