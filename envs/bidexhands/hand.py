"""OpenAI's Shadow hand, read at run time from the installed gymnasium-robotics package.

Bi-DexHands uses this very model for both hands (its left one is not mirrored): a mount, a forearm and 24
finger and wrist joints, of which 20 have position actuators and each finger's last is coupled to the one
before by a tendon.
"""

# pyright: reportAttributeAccessIssue=false
# (the compiled part of mujoco carries no types)

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from xml.sax.saxutils import quoteattr

import mujoco

from envs.bidexhands.constants import Hand
from envs.interface import MissingExtraError

FINGERS = ("ff", "mf", "rf", "lf", "th")
JOINTS = (
    "WRJ1", "WRJ0", "FFJ3", "FFJ2", "FFJ1", "FFJ0", "MFJ3", "MFJ2", "MFJ1", "MFJ0",
    "RFJ3", "RFJ2", "RFJ1", "RFJ0",
    "LFJ4", "LFJ3", "LFJ2", "LFJ1", "LFJ0", "THJ4", "THJ3", "THJ2", "THJ1", "THJ0",
)  # fmt: skip
COUPLED = ("FFJ0", "MFJ0", "RFJ0", "LFJ0")
ACTUATED = tuple(joint for joint in JOINTS if joint not in COUPLED)

RIGHT_BIT, LEFT_BIT, OBJECT_BIT, FIXED_BIT = 1, 2, 4, 8
"""Collision groups; shapes of one group never collide, so a hand passes through itself."""
ALL_BITS = RIGHT_BIT | LEFT_BIT | OBJECT_BIT | FIXED_BIT

_ASSETS = "envs/assets/hand"
_MESHES = "../stls/hand"
_FILES = ("shared.xml", "shared_asset.xml", "robot.xml")


def named(hand: str, part: str) -> str:
    """The name in the scene of a part of the hand model, such as `named("right", "palm")`."""
    return f"{hand}/robot0:{part}"


def assets_folder() -> Path:
    """Where gymnasium-robotics keeps the hand.

    Raises:
        MissingExtraError: the package is not installed, or it is and lacks the hand.
    """
    found = find_spec("gymnasium_robotics")
    if found is None or found.origin is None:
        raise MissingExtraError(
            "the hand model comes with gymnasium-robotics, which is not installed: pip install -e '.[mujoco]'"
        )
    folder = Path(found.origin).parent / _ASSETS
    absent = [name for name in _FILES if not (folder / name).is_file()]
    if absent:
        what = f"gymnasium-robotics is installed without the hand model ({absent[0]} is not in {folder})"
        raise MissingExtraError(f"{what}: pip install -e '.[mujoco]' brings a version that has it")
    return folder


def build_hand(hand: str, constants: Hand) -> mujoco.MjSpec:
    """One hand as its file places it, without gravity, its parts still called robot0:... (see `named`)."""
    folder = assets_folder()
    spec = mujoco.MjSpec.from_string(_document(folder))
    # The file's own buffer sizes are for another scene.
    spec.njmax = spec.nconmax = spec.nuser_jnt = spec.nuser_site = spec.nuser_tendon = spec.nuser_actuator = (
        spec.nuser_sensor
    ) = -1
    materials = [material for material in spec.materials if material.name != "robot0:MatViz"]
    for element in [*spec.sensors, *spec.pairs, *spec.sites, *spec.textures, *materials]:
        spec.delete(element)
    couplings = {f"robot0:T_{joint[:2]}J1c" for joint in COUPLED}
    for tendon in [tendon for tendon in spec.tendons if tendon.name not in couplings]:
        spec.delete(tendon)
    bit = RIGHT_BIT if hand == "right" else LEFT_BIT
    for geom in spec.geoms:
        collides = geom.classname.name == "robot0:DC_Hand"
        geom.contype = bit if collides else 0
        geom.conaffinity = ALL_BITS & ~bit if collides else 0
        geom.group = 3 if collides else 1
        geom.friction[0] = constants.friction
        geom.material = "" if collides else "robot0:MatViz"
    for body in spec.bodies[1:]:
        body.gravcomp = 1
    material = spec.material("robot0:MatViz")
    material.reflectance = 0
    material.rgba = (0.86, 0.83, 0.78, 1) if hand == "right" else (0.58, 0.66, 0.74, 1)
    return spec


def _document(folder: Path) -> str:
    """A model around the package's three files and meshes."""
    shared, assets, robot, meshes = (quoteattr(str(folder / name)) for name in (*_FILES, _MESHES))
    return f"""
    <mujoco>
      <compiler angle="radian" meshdir={meshes}/>
      <include file={shared}/>
      <asset><include file={assets}/></asset>
      <worldbody><include file={robot}/></worldbody>
    </mujoco>
    """
