"""Stand-in: the arguments that Isaac Gym parses from the command line for every program, and names that tasks
import."""

from __future__ import annotations

import argparse
from typing import Any

from isaacgym.gymapi import SIM_PHYSX

get_property_setter_map = get_property_getter_map = get_default_setter_args = None
apply_random_samples = check_buckets = generate_random_samples = None


def parse_arguments(description: str, custom_parameters: list[dict[str, Any]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--sim_device", default="cuda:0")
    parser.add_argument("--pipeline", default="gpu")
    for name in ("--num_threads", "--subscenes", "--slices"):
        parser.add_argument(name, type=int, default=0)
    for parameter in custom_parameters:
        options = {key: value for key, value in parameter.items() if key != "name"}
        parser.add_argument(parameter["name"], **options)
    args = parser.parse_args()
    args.sim_device_type, args.compute_device_id, args.physics_engine = "cuda", 0, SIM_PHYSX
    args.use_gpu = args.use_gpu_pipeline = True
    return args


def parse_sim_config(sim_cfg: dict[str, Any], sim_params: Any) -> None:
    sim_params.parsed = sim_cfg
    sim_params.substeps = sim_cfg["substeps"]
