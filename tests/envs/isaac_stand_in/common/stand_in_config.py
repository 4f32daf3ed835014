"""The configuration both layouts have in common, with defaults that the bridge must not leave as they are."""

from __future__ import annotations

from typing import Any

from isaacgym import gymapi

NAMES = ["--task", "--num_envs", "--seed", "--episode_length", "--algo"]
TYPES = [str, int, int, int, str]
EPISODE_LENGTHS = {
    "ShadowHandBottleCap": 125,
    "ShadowHandPen": 125,
    "ShadowHandDoorOpenInward": 250,
    "ShadowHandDoorOpenOutward": 250,
}


def parameters(defaults: list[Any]) -> list[dict[str, Any]]:
    valued = [{"name": NAMES[i], "type": TYPES[i], "default": defaults[i]} for i in range(len(NAMES))]
    return [*valued, {"name": "--headless", "action": "store_true", "default": False}]


def configuration(args: Any) -> dict[str, Any]:
    """As the task's YAML would give it."""
    env = {
        "numEnvs": 128,
        "observationType": "point_cloud",
        "asymmetric_observations": True,
        "episodeLength": EPISODE_LENGTHS[args.task],
    }
    env.update(
        {
            name: 0.1
            for name in (
                "resetPositionNoise",
                "resetRotationNoise",
                "resetDofPosRandomInterval",
                "resetDofVelRandomInterval",
            )
        }
    )
    if args.num_envs > 0:
        env["numEnvs"] = args.num_envs
    return {"env": env, "task": {"randomize": True}, "headless": args.headless}


def simulation_parameters(args: Any, cfg: dict[str, Any]) -> gymapi.SimParams:
    assert cfg["env"]["numEnvs"] == args.num_envs
    sim_params = gymapi.SimParams()
    sim_params.dt, sim_params.substeps = 1 / 60, 2
    return sim_params
