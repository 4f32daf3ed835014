"""Stand-in: the arguments that Isaac Gym parses from the command line for every program."""

from __future__ import annotations

import argparse
from typing import Any


def parse_arguments(description: str, custom_parameters: list[dict[str, Any]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--sim_device", default="cuda:0")
    parser.add_argument("--pipeline", default="gpu")
    for parameter in custom_parameters:
        options = {key: value for key, value in parameter.items() if key != "name"}
        parser.add_argument(parameter["name"], **options)
    return parser.parse_args()
