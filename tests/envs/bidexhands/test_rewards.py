"""Rewards, failures and successes against numbers worked out by hand, in NumPy and in torch."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from envs.bidexhands.constants import load_constants
from envs.bidexhands.presets import constants_file
from envs.bidexhands.readings import Readings
from envs.bidexhands.rewards import (
    bottle_outcome,
    bottle_points,
    door_outcome,
    door_points,
    pen_outcome,
    pen_points,
)

CONSTANTS = load_constants(constants_file("v1"))
IDENTITY = (1.0, 0.0, 0.0, 0.0)
QUARTER_ABOUT_X = (np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0)
FINGERTIP = np.array([0, 0, 0.02])
PALM = np.array([0, -0.02, 0.08])


def readings(batch: int = 1, links: int = 1, **given: Any) -> Readings:
    """Everything at the origin, at rest and unturned, but for what is given."""
    shapes = {
        "joint_positions": (batch, 2, 24), "joint_velocities": (batch, 2, 24), "joint_forces": (batch, 2, 24),
        "joint_ranges": (2, 24, 2),
        "fingertip_positions": (batch, 2, 5, 3), "fingertip_quaternions": (batch, 2, 5, 4),
        "fingertip_linear_velocities": (batch, 2, 5, 3), "fingertip_angular_velocities": (batch, 2, 5, 3),
        "fingertip_wrenches": (batch, 2, 5, 6), "palm_positions": (batch, 2, 3),
        "palm_quaternions": (batch, 2, 4),
        "mount_quaternions": (batch, 2, 4), "object_position": (batch, 3), "object_quaternion": (batch, 4),
        "object_linear_velocity": (batch, 3), "object_angular_velocity": (batch, 3),
        "link_positions": (batch, links, 3), "link_quaternions": (batch, links, 4),
    }  # fmt: skip
    assert set(shapes) == {entry.name for entry in fields(Readings)}
    values = {name: np.zeros(shape) for name, shape in shapes.items()}
    for name in values:
        if name.endswith(("quaternions", "quaternion")):
            values[name][...] = IDENTITY
    for name, value in given.items():
        values[name][...] = value
    return Readings(**values)


def in_torch(values: Readings) -> Readings:
    return Readings(
        **{entry.name: torch.from_numpy(getattr(values, entry.name)) for entry in fields(Readings)}
    )


def same_in_torch(values: Readings, points: Any, outcome: Any, *constants: Any) -> tuple[np.ndarray, ...]:
    """The outcome in NumPy, after a look at whether torch gives the same."""
    numpy_points = points(values, constants[0])
    numpy_outcome = outcome(values, numpy_points, *constants)
    torch_points = points(in_torch(values), constants[0])
    torch_outcome = outcome(in_torch(values), torch_points, *constants)
    assert isinstance(torch_outcome.reward, torch.Tensor)
    assert_allclose(torch_points, numpy_points, atol=1e-15)
    for one, other in zip(torch_outcome, numpy_outcome, strict=True):
        assert_allclose(one.numpy(), other, atol=1e-12)
    return (numpy_points, *numpy_outcome)


def bottle(
    lift: float, spread: float, palm: float, height: float = 0.6, right_palm: float = 0.1
) -> tuple[np.ndarray, ...]:
    """An upright bottle; each right fingertip `spread` from the cap's reference, the left palm `palm` from
    the root."""
    root = np.array([0.3, -0.2, height - 0.15])
    reference = root + (0, 0, 0.15)
    values = readings(
        object_position=root,
        link_positions=root + (0, 0, lift),
        fingertip_positions=reference + (spread, 0, 0) - FINGERTIP,
        palm_positions=np.array([reference + (0, right_palm, 0), root + (0, palm, 0)]) - PALM,
    )
    return same_in_torch(values, bottle_points, bottle_outcome, CONSTANTS.bottle_cap, CONSTANTS.observation)


def test_bottle_by_hand() -> None:
    """r = 2 - 5 * 0.05 - 0.1 + 30 * 0.05 with the cap's link 3 and 4 cm off at a lift of 4.89 cm, 5 cm in
    all."""
    lift = np.sqrt(0.05**2 - 0.0075**2 - 0.007**2)
    points, reward, failure, success = bottle(lift, spread=0.05, palm=0.1)
    assert_allclose(points[0], [[0.3, -0.2, 0.45], [0.3, -0.2, 0.6], [0.2925, -0.207, 0.45 + lift]])
    assert_allclose(reward, 2 - 0.25 - 0.1 + 1.5)
    assert (failure[0], success[0]) == (False, True)


def test_the_cap_earns_nothing_from_afar_and_success_begins_at_3_cm() -> None:
    _, reward, _, success = bottle(lift=0.0281, spread=0.061, palm=0.0)
    assert_allclose(reward, 2 - 0.305)
    assert not success[0]
    _, reward, _, success = bottle(lift=0.0283, spread=0.059, palm=0.0)
    assert_allclose(reward, 2 - 0.295 + 30 * np.sqrt(0.0283**2 + 0.0075**2 + 0.007**2))
    assert success[0]


@pytest.mark.parametrize(
    ("changed", "fails"),
    [({}, False), ({"height": 0.501}, False), ({"height": 0.499}, True), ({"right_palm": 0.499}, False),
     ({"right_palm": 0.501}, True),
     ({"palm": 0.199}, False), ({"palm": 0.201}, True)],
)  # fmt: skip
def test_bottle_failures(changed: dict[str, float], fails: bool) -> None:
    assert bottle(**({"lift": 0.0, "spread": 0.05, "palm": 0.1} | changed))[2][0] == fails


def test_points_turn_with_the_bottle() -> None:
    """A quarter turn about x takes the axis to -y."""
    values = readings(
        object_position=(1, 2, 3), object_quaternion=QUARTER_ABOUT_X, link_positions=(1, 1.95, 3)
    )
    points = bottle_points(values, CONSTANTS.bottle_cap)
    assert_allclose(points[0, 1], (1, 1.85, 3))
    assert_allclose(points[0, 2], (1 - 0.0075, 1.95, 3 - 0.007))


def door(task: str, opening: float, right: float, left: float) -> tuple[np.ndarray, ...]:
    """Unturned leaves whose handles are `opening` apart along y; fingertips at distances `right` and
    `left`."""
    own = CONSTANTS.task(task)
    through = 0.04 if task == "door-open-inward" else -0.04
    handles = {"left": np.array([-0.39, -0.5, through]), "right": np.array([0.39, -0.5 + opening, through])}
    tips = (
        np.array([[handles["right"] + (0, 0, right)] * 5, [handles["left"] + (left, 0, 0)] * 5]) - FINGERTIP
    )
    values = readings(links=2, link_positions=[(0, opening, 0), (0, 0, 0)], fingertip_positions=tips)
    points, *outcome = same_in_torch(values, door_points, door_outcome, own, CONSTANTS.observation)
    assert_allclose(points[0], [handles["left"], handles["right"]])
    return tuple(value[0] for value in outcome)


@pytest.mark.parametrize("task", ["door-open-inward", "door-open-outward"])
@pytest.mark.parametrize(
    ("opening", "right", "left", "expected"),
    [
        (0.4, 0.05, 0.08, (2 - 0.25 - 0.4 + 0.8, False, False)),
        (0.51, 0.05, 0.08, (2 - 0.25 - 0.4 + 1.02, False, True)),
        (0.51, 0.101, 0.08, (2 - 0.505 - 0.4, False, True)),
        (0.4, 0.05, 0.101, (2 - 0.25 - 0.505, False, False)),
        (0.4, 0.299, 0.299, (2 - 2 * 1.495, False, False)),
        (0.4, 0.301, 0.1, (2 - 1.505 - 0.5, True, False)),
        (0.4, 0.1, 0.301, (2 - 0.5 - 1.505, True, False)),
    ],
)
def test_door_by_hand(
    task: str, opening: float, right: float, left: float, expected: tuple[float, bool, bool]
) -> None:
    reward, failure, success = door(task, opening, right, left)
    assert_allclose(reward, expected[0])
    assert (failure, success) == expected[1:]


def pen(distance: float, right: float, left: float) -> tuple[Any, ...]:
    """A pen along z with its points `distance` apart."""
    slide = distance - 0.17
    places = {"right": np.array([0, 0, -0.1 - slide]), "left": np.array([0, 0, 0.07])}
    tips = np.array([[places["right"] + (right, 0, 0)] * 5, [places["left"] + (0, left, 0)] * 5]) - FINGERTIP
    values = readings(link_positions=(0, 0, -slide), fingertip_positions=tips)
    points, *outcome = same_in_torch(values, pen_points, pen_outcome, CONSTANTS.pen, CONSTANTS.observation)
    assert_allclose(points[0], [places["right"], places["left"]], atol=1e-12)
    return tuple(value[0] for value in outcome)


@pytest.mark.parametrize(
    ("distance", "right", "left", "expected"),
    [
        (0.17, 0.02, 0.04, (np.exp(-1) + np.exp(-2) + 0.85 - 0.8, False, False)),
        (0.299, 0.02, 0.04, (np.exp(-1) + np.exp(-2) + 1.495 - 0.8, False, False)),
        (0.301, 0.02, 0.04, (np.exp(-1) + np.exp(-2) + 1.505 - 0.8, False, True)),
        (0.4, 0.151, 0.02, (np.exp(-7.55) + np.exp(-1), False, True)),
        (0.4, 0.02, 0.151, (np.exp(-7.55) + np.exp(-1), False, True)),
        (0.17, 0.301, 0.02, (np.exp(-15.05) + np.exp(-1), True, False)),
        (0.17, 0.02, 0.301, (np.exp(-15.05) + np.exp(-1), True, False)),
    ],
)
def test_pen_by_hand(distance: float, right: float, left: float, expected: tuple[float, bool, bool]) -> None:
    reward, failure, success = pen(distance, right, left)
    assert_allclose(reward, expected[0])
    assert (failure, success) == expected[1:]
