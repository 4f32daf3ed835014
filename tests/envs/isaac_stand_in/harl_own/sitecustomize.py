"""Puts the stand-in's task under HARL's own wrapper and configuration code, where HARL is installed."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

PACKAGE = "harl.envs.dexhands.DexterousHands.bidexhands"
np.Inf = np.inf  # HARL's code is from before numpy 2


def parse_task(args: Any, cfg: dict[str, Any], sim_params: Any, agent_index: Any) -> Any:
    """As HARL's, which would build the real task."""
    from importlib import import_module

    from stand_in_task import StandInTask

    class Task(StandInTask):
        num_states, num_actions, num_hand_obs = 0, 26, 199
        agent_index = [[[0, 1, 2, 3, 4, 5]], [[0, 1, 2, 3, 4, 5]]]

        def step(self, actions: Any) -> None:
            super().step(actions.numpy())

    assert args.headless
    assert sim_params.num_client_threads == args.slices
    assert sim_params.parsed == cfg["sim"], "the simulator's parameters are those of the task's YAML"
    return import_module(PACKAGE + ".tasks.hand_base.multi_vec_task").MultiVecTaskPython(
        Task(args.task, cfg, sim_params, agent_index), "cpu"
    )


stand_in = ModuleType(PACKAGE + ".utils.parse_task")
stand_in.__dict__["parse_task"] = parse_task
sys.modules[stand_in.__name__] = stand_in
