"""Stand-in for HARL's layout: the task comes in a dictionary, and words on the command line would be taken
for parameters."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from isaacgym import gymapi, gymutil
from stand_in_config import configuration, parameters, simulation_parameters


def get_args(env_args: dict[str, Any]) -> Any:
    assert len(sys.argv) == 1
    defaults = [env_args["task"], env_args["n_threads"], None, env_args["hands_episode_length"], "happo"]
    return gymutil.parse_arguments(description="RL Policy", custom_parameters=parameters(defaults))


def load_env_cfg(args: Any) -> dict[str, Any]:
    assert (Path(os.getcwd()) / "../harl/envs/dexhands/DexterousHands").is_dir(), (
        "textures are looked for beside the package"
    )
    return configuration(args)


def parse_sim_params(args: Any, cfg: dict[str, Any]) -> gymapi.SimParams:
    return simulation_parameters(args, cfg)
