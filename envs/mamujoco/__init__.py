"""MAMuJoCo: one of gymnasium's robots, its actuators shared out among agents.

Two presets, which never meet in one table. `paper` is the task of the paper's baselines: full observability,
and the rewards and states of the v2 robots. `gymnasium-robotics` is that package's mamujoco_v1: local
observations and the v5 robots.
"""

from __future__ import annotations

from envs.mamujoco.environment import MultiAgentMujoco

__all__ = ["MultiAgentMujoco"]
