"""Stand-in for the original's layout: everything comes from the command line, the training configuration
too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from isaacgym import gymapi, gymutil
from stand_in_config import configuration, parameters, simulation_parameters


def get_args() -> Any:
    args = gymutil.parse_arguments(
        description="RL Policy", custom_parameters=parameters(["ShadowHandOver", 0, None, 0, "happo"])
    )
    assert args.algo in ("mappo", "happo"), "the configuration of a multi-agent algorithm is read"
    return args


def load_cfg(args: Any) -> tuple[dict[str, Any], dict[str, Any], str]:
    assert os.getcwd() == str(Path(__file__).resolve().parents[1]), (
        "relative paths start in the package's folder"
    )
    assert args.headless
    return configuration(args), {"seed": args.seed}, "logs"


def parse_sim_params(args: Any, cfg: dict[str, Any], cfg_train: dict[str, Any]) -> gymapi.SimParams:
    assert cfg_train == {"seed": args.seed}
    assert torch.__version__
    return simulation_parameters(args, cfg)
