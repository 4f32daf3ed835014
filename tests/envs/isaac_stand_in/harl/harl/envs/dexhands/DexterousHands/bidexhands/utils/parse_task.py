"""Stand-in for HARL's layout."""

from __future__ import annotations

from typing import Any

from stand_in_task import StandInEnvironment, StandInTask


def parse_task(args: Any, cfg: dict[str, Any], sim_params: Any, agent_index: Any) -> Any:
    assert args.headless
    assert args.task_type == "MultiAgent"
    return StandInEnvironment(StandInTask(args.task, cfg, sim_params, agent_index))
