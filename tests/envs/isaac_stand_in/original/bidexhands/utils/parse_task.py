"""Stand-in for the original's layout."""

from __future__ import annotations

from typing import Any

from stand_in_task import StandInEnvironment, StandInTask


def parse_task(
    args: Any, cfg: dict[str, Any], cfg_train: dict[str, Any], sim_params: Any, agent_index: Any
) -> tuple[Any, Any]:
    assert args.task_type == "MultiAgent"
    assert cfg_train["seed"] == args.seed
    task = StandInTask(args.task, cfg, sim_params, agent_index)
    return task, StandInEnvironment(task)
