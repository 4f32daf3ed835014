"""Pictures: of every task, headless, of predicted states, and without a trace in the simulation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.mujoco import MujocoEnv
from numpy.testing import assert_array_equal

import envs
from envs import graphics, push_mass
from envs.mamujoco.reconstruction import reconstruct

ROOT = Path(envs.__file__).parents[1]
# One task for each body or scene: how many agents share it does not show.
SCENES = sorted({re.sub(r"-\d+x\d+$", "", task): task for task in sorted(envs.TASKS)}.values())
NEEDS_OPENGL = sorted(task for task, entry in envs.TASKS.items() if entry.suite != "toy")


@pytest.fixture(autouse=True)
def _scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo appends its warnings to a file in the working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=SCENES)
def task(request: pytest.FixtureRequest) -> str:
    if request.param in NEEDS_OPENGL:
        request.getfixturevalue("opengl")
    return request.param


def random_actions(env: envs.BatchedEnvironment, steps: int) -> np.ndarray:
    shape = (steps, env.num_envs, env.spec.n_agents, env.spec.act_dim)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.slow
@pytest.mark.remembered
def test_a_picture_shows_its_own_world_as_it_is_now(task: str) -> None:
    env = envs.make(task, 2)
    env.reset()
    at_reset = env.render()
    for action in random_actions(env, 5):
        env.step(action)
    pictures = [env.render(world, 120, 160) for world in (0, 1, 0)]
    assert at_reset.shape == (240, 320, 3)
    assert {(picture.shape, picture.dtype) for picture in pictures} == {((120, 160, 3), np.dtype(np.uint8))}
    assert at_reset.std() > 10
    assert_array_equal(pictures[0], pictures[2])
    assert (pictures[0] != pictures[1]).any(axis=2).mean() > 0.005
    assert (env.render() != at_reset).any(axis=2).mean() > 0.005
    env.close()


@pytest.mark.slow
@pytest.mark.remembered
def test_drawing_leaves_the_simulation_as_it_is(task: str) -> None:
    env, twin = envs.make(task, 2, seed=1), envs.make(task, 2, seed=1)
    _, state = env.reset()
    twin.reset()
    for action in random_actions(env, 6):
        env.render(1, 24, 32)
        env.render_states(state + np.float32(0.1), 24, 32)
        result, undisturbed = env.step(action), twin.step(action)
        state = result.state
        for name in ("obs", "state", "reward"):
            assert_array_equal(getattr(result, name), getattr(undisturbed, name), err_msg=name)
    env.close()


@pytest.mark.slow
@pytest.mark.remembered
def test_states_have_pictures_of_their_own(task: str) -> None:
    env = envs.make(task)
    _, state = env.reset()
    states = np.concatenate([state, *(env.step(action).state for action in random_actions(env, 5))])
    given = states.copy()
    frames = env.render_states(states, 60, 80)
    assert (frames.shape, frames.dtype) == ((6, 60, 80, 3), np.uint8)
    assert_array_equal(states, given)
    assert (frames[0] != frames[5]).any()
    assert_array_equal(env.render_states(states[:2], 60, 80), frames[:2])
    assert env.render_states(states[:0], 60, 80).shape == (0, 60, 80, 3)
    env.close()


def test_the_robot_in_its_state_is_drawn_where_the_simulation_has_it(opengl: None) -> None:
    """The same picture but for float32, once both stand on the same spot of the floor."""
    env = envs.make("halfcheetah-2x3", 2)
    _, state = env.reset()
    states = np.stack([state[1], *(env.step(action).state[1] for action in random_actions(env, 8))])
    saved = env.get_sim_state()
    robot = cast(MujocoEnv, gymnasium.make("HalfCheetah-v5").unwrapped)
    positions, _ = reconstruct(robot.model, states, 1 / env.steps_per_second)
    # Time comes first in MuJoCo's state, then the positions, of which x is the first.
    saved["engine_state"]["integration"][1, 1] = positions[-1, 0]
    env.set_sim_state(saved)
    seen, predicted = env.render(1), env.render_states(states)[-1]
    assert np.abs(seen.astype(int) - predicted).mean() < 0.05
    saved["engine_state"]["integration"][1, 1] += 0.5
    env.set_sim_state(saved)
    assert np.abs(env.render(1).astype(int) - predicted).mean() > 1
    env.close()


def test_push_mass_is_drawn_alike_from_the_simulation_and_from_its_states() -> None:
    env = envs.make("push-mass", 1, seed=3)
    _, state = env.reset()
    seen, states = [env.render()], [state[0]]
    for action in random_actions(env, 5):
        states.append(env.step(action).state[0])
        seen.append(env.render())
    assert np.abs(np.stack(seen).astype(int) - env.render_states(np.stack(states))).mean() < 0.01


def test_push_mass_shows_mass_goal_and_forces() -> None:
    env = envs.make("push-mass")
    # At p = (0.9, -0.6), pushed by 0.5 along x and -1 along y; the goal is at (-0.9, 0.9).
    state = np.array([[0.9, -0.6, 0, 0, -0.9, 0.9]], dtype=np.float32)
    successor = push_mass.next_state(state, np.array([[[0.5], [-1.0]]]))
    successor[0, 0:2] = state[0, 0:2]
    picture = env.render_states(np.concatenate([state, successor.astype(np.float32)]), 350, 350)[1]

    def colour(x: float, y: float) -> tuple[int, ...]:
        """At a point of the task's own coordinates, of which 3.5 x 3.5 are seen: 100 pixels to a unit."""
        return tuple(picture[round(175 - 100 * y), round(175 + 100 * x)].tolist())

    mass, goal, first, second, nothing = (
        (0x33,) * 3,
        (0, 0x9E, 0x73),
        (0, 0x72, 0xB2),
        (0xD5, 0x5E, 0),
        (255,) * 3,
    )
    assert colour(0.9, -0.6) == mass
    assert colour(-1.04, 0.9) == colour(-0.9, 1.04) == goal
    assert colour(-0.9, 0.9) == nothing
    assert colour(1.15, -0.6) == first  # from 1.01 to 1.31
    assert colour(1.4, -0.6) == colour(0.65, -0.6) == nothing
    assert colour(0.9, -1.2) == second  # from -0.71 to -1.31
    assert colour(0.9, -1.4) == colour(0.9, -0.4) == nothing


def test_coupled_agents_have_slanted_arrows_in_both_kinds_of_picture() -> None:
    """Agent 0's towards (2, 1), agent 1's towards (1, 2), each as long as its own action."""
    env = envs.make("push-mass-coupled", 1, seed=3)
    _, state = env.reset()
    successor = env.step(np.array([[[0.5], [-0.8]]], dtype=np.float32)).state
    seen, predicted = (
        env.render(0, 350, 350),
        env.render_states(np.concatenate([state, successor]), 350, 350)[1],
    )
    assert np.abs(seen.astype(int) - predicted).mean() < 0.01
    slant, middle = np.sqrt(0.2), successor[0, 0:2]
    for reach, direction, ours in (
        (0.25, (2 * slant, slant), (0, 0x72, 0xB2)),
        (0.4, (-slant, -2 * slant), (0xD5, 0x5E, 0)),
    ):
        for sign, expected in ((1, True), (-1, False)):
            x, y = middle + sign * reach * np.array(direction)
            assert (tuple(seen[round(175 - 100 * y), round(175 + 100 * x)].tolist()) == ours) == expected


def test_the_force_of_a_step_is_found_again() -> None:
    random = np.random.default_rng(0)
    state, actions = random.uniform(-1.4, 1.4, (50, 6)), random.uniform(-1, 1, (50, 2, 1))
    found = push_mass.force_between(state, push_mass.next_state(state, actions))
    np.testing.assert_allclose(found, actions[:, :, 0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("task", SCENES)
def test_the_rate_is_the_simulations(task: str) -> None:
    rates = {"toy": 10, "ant": 20, "halfcheetah": 20, "walker2d": 125, "bidexhands": 60}
    env = envs.make(task)
    expected = {
        rate for name, rate in rates.items() if name in (env.spec.suite, task, task.partition("-")[0])
    }
    assert {env.steps_per_second} == expected
    env.close()


def test_senseless_requests_are_refused() -> None:
    env = envs.make("push-mass", 2)
    with pytest.raises(envs.InvalidArgumentError, match=r"call reset\(\)"):
        env.render()
    _, state = env.reset()
    for world in (-1, 2):
        with pytest.raises(
            envs.InvalidArgumentError, match=f"there is no world {world}: this environment has 2"
        ):
            env.render(world)
    with pytest.raises(envs.InvalidArgumentError, match="a picture of 320 x 0 pixels"):
        env.render(0, height=0)
    with pytest.raises(
        envs.InvalidArgumentError, match=r"shape \(2, 5\), push-mass draws \(time, state\) = \(any, 6\)"
    ):
        env.render_states(state[:, :5])
    state[1, 3] = np.nan
    with pytest.raises(envs.InvalidArgumentError, match="state 1 of the 2 to draw is not finite"):
        env.render_states(state)


WITHOUT = """
import ctypes, os, sys
blocked = tuple(f"lib{name}.so" for name in sys.argv[1].split(","))
load = ctypes.CDLL.__init__
def init(self, name, *rest, **options):
    if os.path.basename(str(name)).startswith(blocked):
        raise OSError(f"{name}: cannot open shared object file")
    return load(self, name, *rest, **options)
ctypes.CDLL.__init__ = init
import envs
try:
    environment = envs.make("halfcheetah-2x3")
    environment.reset()
    print("picture", environment.render().std() > 10)
except envs.MissingGraphicsError as error:
    print(error)
"""


def picture_without(libraries: str, **variables: str) -> str:
    """What making and drawing a task prints in a process that cannot load these libraries and has no
    screen."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM")
    }
    path = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, libraries],
        env=clean | path | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_a_screen_there_is_a_picture(opengl: None) -> None:
    assert picture_without("nothing") == "picture True"


@pytest.mark.parametrize(
    ("libraries", "variables", "message"),
    [
        ("EGL,OSMesa", {}, "no picture can be drawn, since egl and osmesa cannot be loaded"),
        ("OpenGL,GL,OSMesa", {}, "no picture can be drawn, since egl and osmesa cannot be loaded"),
        (
            "OSMesa",
            {"MUJOCO_GL": "osmesa"},
            "MuJoCo cannot be imported: unset MUJOCO_GL, which is 'osmesa', or install",
        ),
        (
            "EGL",
            {"MUJOCO_GL": "egl"},
            "MuJoCo cannot be imported: unset MUJOCO_GL, which is 'egl', or install",
        ),
        (
            "EGL",
            {"MUJOCO_GL": "metal"},
            "MuJoCo cannot be imported: unset MUJOCO_GL, which is 'metal', or install",
        ),
        ("EGL", {"MUJOCO_GL": "disable"}, "MuJoCo found no OpenGL to draw with"),
        ("EGL", {"MUJOCO_GL": "glfw"}, "MuJoCo found no OpenGL to draw with"),
    ],
)
def test_a_missing_library_is_named_in_one_sentence(
    libraries: str, variables: dict[str, str], message: str
) -> None:
    printed = picture_without(libraries, **variables)
    assert printed.startswith(message)
    assert "install the Debian packages libegl1 and libgl1, or libosmesa6" in printed
    assert printed.count("\n") == 0


def test_what_mujoco_itself_lacks_is_not_blamed_on_graphics(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise ImportError("libmujoco.so is not there")

    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(graphics, "import_module", broken)
    with pytest.raises(ImportError, match="libmujoco.so is not there"):
        graphics.import_mujoco()


def test_the_camera_draws_another_size_after_the_first(opengl: None) -> None:
    env = envs.make("halfcheetah-2x3")
    env.reset()
    sizes = [(48, 64), (600, 800), (48, 64)]  # the second is larger than the model's own buffer of 640 x 480
    small, large, again = (env.render(0, *size) for size in sizes)
    assert [picture.shape[:2] for picture in (small, large, again)] == sizes
    assert_array_equal(small, again)
    env.close()
    env.close()
