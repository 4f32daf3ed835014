"""The four tasks: scenes, points and rewards."""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import mujoco
from jaxtyping import Float

from envs.bidexhands import rewards
from envs.bidexhands.arrays import Array
from envs.bidexhands.constants import BottleCap, Constants, Pen, load_constants
from envs.bidexhands.layout import ACTION, observation_dim, state_dim
from envs.bidexhands.objects import add_bottle, add_door, add_pen, add_table
from envs.bidexhands.presets import constants_file
from envs.bidexhands.readings import Readings
from envs.bidexhands.rewards import Outcome
from envs.bidexhands.scene import HANDS, Scene, View, build_scene, quaternion
from envs.interface import EnvSpec


@dataclass(frozen=True)
class Kind:
    """What differs between tasks: name in ids, object, points, rewards, view."""

    name: str
    add_object: Callable[[mujoco.MjsBody, Any], None]
    links: tuple[str, ...]
    n_points: int
    points: Callable[..., Float[Array, "batch points 3"]]
    outcome: Callable[..., Outcome]
    view: View


_DOOR = (add_door, ("right_leaf", "left_leaf"), 2, rewards.door_points, rewards.door_outcome)
_BOTTLE = (add_bottle, ("cap",), 3, rewards.bottle_points, rewards.bottle_outcome)
_PEN = (add_pen, ("cap",), 2, rewards.pen_points, rewards.pen_outcome)

KINDS = {
    "bottle-cap": Kind("BottleCap", *_BOTTLE, View(eye=(0.9, -0.85, 0.9), target=(-0.03, -0.65, 0.5))),
    "door-open-inward": Kind("DoorOpenInward", *_DOOR, View(eye=(1.35, -0.9, 1.35), target=(0.1, 0.0, 0.68))),
    "door-open-outward": Kind(
        "DoorOpenOutward", *_DOOR, View(eye=(1.35, -0.9, 1.35), target=(0.1, 0.0, 0.68))
    ),
    "pen": Kind("Pen", *_PEN, View(eye=(-0.7, -0.35, 1.15), target=(0.12, 0.04, 0.62))),
}


class Task:
    """One task with the constants of one preset. Raises ConstantsError where its file cannot be read."""

    def __init__(self, name: str, preset: str) -> None:
        self.name, self.preset, self.kind = name, preset, KINDS[name]
        self.constants: Constants = load_constants(constants_file(preset))
        self.own = self.constants.task(name)

    def build_scene(self) -> Scene:
        """The compiled model and what an episode starts with."""
        return build_scene(self.constants, self.own, self.kind.view, self._add_object)

    def spec(self, engine: str) -> EnvSpec:
        """The task's spec in an engine, whose name has its version."""
        robotics = f"gymnasium-robotics-{version('gymnasium-robotics')}"
        lineage = f"MuJoCo-{self.kind.name}-v{self.constants.version}/{robotics}/{engine}"
        return EnvSpec(
            task=self.name,
            suite="bidexhands",
            n_agents=len(HANDS),
            obs_dim=observation_dim(self.kind.n_points),
            state_dim=state_dim(self.kind.n_points),
            act_dim=ACTION,
            episode_limit=self.own.episode_limit,
            engine=engine,
            lineage=lineage,
            preset=self.preset,
        )

    def points(self, readings: Readings) -> Float[Array, "batch points 3"]:
        """The points that end the state, and that rewards are about."""
        return self.kind.points(readings, self.own)

    def outcome(self, readings: Readings, points: Float[Array, "batch points 3"]) -> Outcome:
        """Reward, failure and success."""
        return self.kind.outcome(readings, points, self.own, self.constants.observation)

    def _add_object(self, spec: mujoco.MjSpec) -> None:
        if isinstance(self.own, BottleCap | Pen):
            add_table(spec.worldbody, self.own)
        turn = quaternion(self.own.object_rpy)
        root = spec.worldbody.add_body(name="object", pos=self.own.object_position, quat=turn)
        self.kind.add_object(root, self.own)
