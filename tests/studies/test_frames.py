"""What `frames.npz` holds: by hand on push-mass, and of trained cells of every kind of world model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY_DIMA, TINY_MAMBA, TINY_MARIE, tiny_config

import envs
from dima.cell.run import Execution, run_cell
from dima.config import CellConfig, EvaluationConfig, TaskConfig
from dima.config.grid import CellKey, load_grid, merge, validate
from dima.errors import UserError
from dima.studies.episodes import RealEpisode
from dima.studies.frames import SIDE, frames_of, observation_error, save_frames
from dima.studies.rollouts import Rollout
from dima.studies.run import run_study
from dima.studies.scene import Scene

CPU = torch.device("cpu")
FORMS = {
    "steps": ("int64", 1),
    "real": ("uint8", 4),
    "names": ("U", 1),
    "imagined": ("uint8", 5),
    "error": ("float64", 2),
    "still": ("float64", 1),
    "episode": ("U", 0),
    "start": ("int64", 0),
    "synthetic": ("U", 0),
}


@pytest.fixture
def push_mass():
    with_pictures = envs.make("push-mass")
    yield with_pictures
    with_pictures.close()


@pytest.fixture
def scene(push_mass):
    """An episode of random actions, imagined from after step 3; at step t each of the 2 x 5 observed numbers
    is t."""
    random = np.random.default_rng(0)
    _, state = push_mass.reset(seed=0)
    rows = []
    for _ in range(30):
        action = random.uniform(-1, 1, (1, 2, 1)).astype(np.float32)
        rows.append((state[0], action[0]))
        state = push_mass.step(action).state
    states, actions = (np.stack(column) for column in zip(*rows, strict=True))
    observations = np.broadcast_to(np.arange(30, dtype=np.float32)[:, None, None], (30, 2, 5)).copy()
    ends = np.arange(30) == 29
    return Scene(
        RealEpisode(states, observations, actions, np.zeros(30, dtype=np.float32), np.zeros_like(ends), ends),
        3,
        14,
        "somebody",
    )


def test_what_is_imagined_as_it_is_has_no_error_and_the_same_pictures(push_mass, scene):
    arrays = frames_of(push_mass, scene, [Rollout("none", scene.state, scene.observation)])
    assert arrays["steps"].tolist() == [1, 5, 10, 14]
    np.testing.assert_array_equal(arrays["imagined"][0], arrays["real"])
    np.testing.assert_array_equal(arrays["error"], np.zeros((1, 4)))
    np.testing.assert_array_equal(arrays["still"], [1, 5, 10, 14])
    assert (arrays["episode"], arrays["start"], arrays["synthetic"]) == ("somebody", 3, "")
    drawn = push_mass.render_states(scene.episode.state[3:18], SIDE, SIDE)
    np.testing.assert_array_equal(arrays["real"], drawn[[1, 5, 10, 14]])
    assert (arrays["real"][0] != arrays["real"][3]).any()


def test_the_error_is_the_mean_distance_of_what_is_observed(push_mass, scene):
    off = scene.observation.copy()
    off[:, 0] += np.linspace(0.5, 7, 14, dtype=np.float32)[:, None]  # .5 a step, for one agent of two
    off[:, 1, 2] -= 5  # one number of ten
    errors = observation_error(scene, Rollout("none", scene.state, off))
    np.testing.assert_allclose(errors, np.linspace(0.25, 3.5, 14) + 0.5, rtol=1e-6)


def test_where_a_model_does_not_reach_it_is_white_and_has_no_error(push_mass, scene):
    rollouts = [Rollout("short", scene.state[:9], scene.observation[:9])]
    broken_state, broken_observation, huge = (
        scene.state.copy(),
        scene.observation.copy(),
        scene.state.astype(np.float64),
    )
    broken_state[4, 0], broken_observation[9, 1, 3], huge[0, 1] = np.nan, np.inf, 1e300
    rollouts += [
        Rollout("state", broken_state, scene.observation),
        Rollout("observation", scene.state, broken_observation),
    ]
    arrays = frames_of(push_mass, scene, [*rollouts, Rollout("huge", huge, scene.observation)])
    reached = np.array(
        [[True, True, False, False], [True, False, False, False], [True, True, False, False], [False] * 4]
    )
    np.testing.assert_array_equal(np.isnan(arrays["error"]), ~reached)
    white = (arrays["imagined"] == 255).all(axis=(2, 3, 4))
    np.testing.assert_array_equal(white, ~reached)
    for pictures, known in zip(arrays["imagined"], reached, strict=True):
        np.testing.assert_array_equal(pictures[known], arrays["real"][known])


def test_the_file_is_the_arrays_and_the_same_bytes_every_time(push_mass, scene, tmp_path):
    rollouts = [
        Rollout("2-1-1-2", scene.state, scene.observation),
        Rollout("random", scene.state[:2], scene.observation[:2]),
    ]
    contents = [
        save_frames(tmp_path / name / "frames.npz", push_mass, scene, rollouts).read_bytes()
        for name in ("one", "two")
    ]
    assert contents[0] == contents[1]
    read = check_form(tmp_path / "one/frames.npz")
    assert read["names"].tolist() == ["2-1-1-2", "random"]
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["frames.npz"]


def check_form(path: Path) -> dict[str, np.ndarray]:
    """The arrays, whose kinds and shapes are those of every such file."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    assert list(arrays) == list(FORMS)
    for name, (kind, axes) in FORMS.items():
        assert (kind in (arrays[name].dtype.name, arrays[name].dtype.kind), arrays[name].ndim) == (
            True,
            axes,
        ), name
    rollouts, steps = arrays["error"].shape
    assert arrays["imagined"].shape == (rollouts, steps, SIDE, SIDE, 3)
    assert arrays["real"].shape == (steps, SIDE, SIDE, 3)
    assert (len(arrays["steps"]), len(arrays["names"]), len(arrays["still"])) == (steps, rollouts, steps)
    return arrays


@pytest.mark.slow
@pytest.mark.remembered
def test_the_frames_of_a_variant_show_what_dima_does(tiny, tmp_path):
    cells = {method: tiny.resolve(CellKey("push-mass", method, 1)) for method in ("dima", "dima-joint")}
    other = {
        "denoiser": {"dynamics": "deterministic"},
        "behavior": {"actor_hidden": [8]},
    }  # so few updates tell the two methods hardly apart
    cells["dima-joint"] = validate(
        CellConfig, merge(cells["dima-joint"].model_dump(mode="json"), {"parameters": other}), "test"
    )
    for method, config in cells.items():
        run_cell(config, tmp_path / method, Execution(CPU))
    lead = (cells["dima"], tmp_path / "dima")
    found = {
        method: check_form(run_study("frames", config, tmp_path / method, 8, CPU, lead))
        for method, config in cells.items()
    }
    assert {str(arrays["episode"]) for arrays in found.values()} == {"dima seed-1"}
    for name in ("steps", "real", "start", "still"):
        np.testing.assert_array_equal(found["dima"][name], found["dima-joint"][name])
    assert found["dima-joint"]["names"].tolist() == ["none"]
    assert (found["dima"]["error"] != found["dima-joint"]["error"]).all()
    own = check_form(run_study("frames", cells["dima-joint"], tmp_path / "dima-joint", 8, CPU))
    assert own["episode"] == "dima-joint seed-1"
    assert (own["real"] != found["dima"]["real"]).any()

    with pytest.raises(
        UserError, match=r"nowhere has no checkpoint: its policy acts in the frames of every method"
    ):
        run_study(
            "frames",
            cells["dima-joint"],
            tmp_path / "dima-joint",
            8,
            CPU,
            (cells["dima"], tmp_path / "nowhere"),
        )


def test_frames_of_predicted_observations_are_refused_where_they_do_not_tell_the_state(tiny, tmp_path):
    sentence = "The frames of mamba are drawn from predicted observations, and those of push-mass with preset paper do not tell the state."
    with pytest.raises(UserError, match=sentence):
        run_study("frames", tiny.resolve(CellKey("push-mass", "mamba", 1)), tmp_path, 8, CPU)


@pytest.mark.parametrize(
    ("task", "preset"), [(task, preset) for task, entry in envs.TASKS.items() for preset in entry.presets]
)
def test_which_observations_tell_the_state_is_what_the_environments_say(task, preset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo appends its warnings to a file in the working folder
    suite = envs.TASKS[task].suite
    config = TaskConfig(
        name=task, label=task, suite=suite, preset=preset, simulator="mujoco", agents=2, env_steps=1, comparable_with_paper=False,
        evaluation=EvaluationConfig(every=1, episodes=1),
    )  # fmt: skip
    environment = envs.make(task, preset=preset)
    observations, _ = environment.reset()
    try:
        told = environment.states_seen(observations).shape == (1, environment.spec.state_dim)
    except envs.UntoldStateError:
        told = False
    finally:
        environment.close()
    assert told == config.observations_tell_state


@pytest.mark.parametrize("task", ["ant-2x4", "halfcheetah-6x1", "walker2d-3x2"])
def test_observations_are_drawn_as_the_states_that_they_show(opengl, task, tmp_path, monkeypatch):
    """True ones as the truth; noise as something, and only what has no finite place as nothing."""
    monkeypatch.chdir(tmp_path)  # MuJoCo appends its warnings to a file in the working folder
    environment = envs.make(task)
    spec, random = environment.spec, np.random.default_rng(0)
    observation, state = environment.reset(seed=2)
    rows = []
    for _ in range(17):
        action = random.uniform(-1, 1, (1, spec.n_agents, spec.act_dim)).astype(np.float32)
        rows.append((state[0], observation[0], action[0]))
        result = environment.step(action)
        observation, state = result.obs, result.state
    states, observations, actions = (np.stack(column) for column in zip(*rows, strict=True))
    flags = np.zeros(17, dtype=np.bool_)
    scene = Scene(
        RealEpisode(states, observations, actions, np.zeros(17, dtype=np.float32), flags, flags),
        2,
        14,
        "somebody",
    )
    noise = (
        scene.observation
        + random.normal(size=scene.observation.shape) * np.geomspace(0.01, 1e3, 14)[:, None, None]
    )
    rollouts = [
        Rollout(name, environment.states_seen(seen), seen)
        for name, seen in (("true", scene.observation), ("noise", noise))
    ]
    arrays = frames_of(environment, scene, rollouts)
    assert np.abs(arrays["imagined"][0].astype(int) - arrays["real"]).mean() < 0.05
    np.testing.assert_array_equal(arrays["error"][0], np.zeros(4))
    assert np.isfinite(arrays["error"]).all()
    assert np.abs(arrays["imagined"][1, 3].astype(int) - arrays["real"][3]).mean() > 1
    environment.close()


@pytest.fixture(scope="module")
def trained(opengl, tmp_path_factory):
    """Tiny cells of DIMA, MAMBA and MARIE on HalfCheetah-2x3 of the grid `drawn`, by method."""
    folder = tmp_path_factory.mktemp("drawn")
    config = tiny_config(folder)
    grid = {
        "experiments": {
            "final_returns": [
                {"tasks": ["halfcheetah-2x3"], "methods": ["dima", "mamba", "marie"], "seeds": [1]}
            ]
        },
        "overrides": {
            "tasks": {"halfcheetah-2x3": {"env_steps": 1000, "evaluation": {"every": 1000, "episodes": 1}}},
            "methods": {
                "dima": TINY_DIMA,
                "mamba": TINY_MAMBA,
                "marie": merge(TINY_MARIE, {"behavior": {"horizon": 6}}),
            },
        },
    }
    (config / "drawn.yaml").write_text(yaml.safe_dump(grid), encoding="utf-8")
    loaded = load_grid("drawn", config)
    cells = {
        key.method: (loaded.resolve(key), folder / "results/drawn/cells" / key.folder) for key in loaded.cells
    }
    for cell, place in cells.values():
        run_cell(cell, place, Execution(CPU))
    return folder, cells


@pytest.mark.slow
@pytest.mark.remembered
def test_all_kinds_of_world_models_are_shown_the_same_rollout(trained, monkeypatch, capsys):
    """By the command line, as the workflow makes them."""
    from dima.cli import main

    folder, cells = trained
    monkeypatch.chdir(folder)
    found = {}
    for method, (_, place) in cells.items():
        contents = []
        for _ in range(2):
            cell = [
                "--grid",
                "drawn",
                "--task",
                "halfcheetah-2x3",
                "--method",
                method,
                "--seed",
                "1",
                "--device",
                "cpu",
            ]
            assert main(["study", "frames", *cell]) == 0, capsys.readouterr().err
            contents.append((place / "studies/frames.npz").read_bytes())
        assert contents[0] == contents[1]
        found[method] = check_form(place / "studies/frames.npz")
    for arrays in found.values():
        for name in ("steps", "real", "still", "episode", "start", "synthetic"):
            np.testing.assert_array_equal(arrays[name], found["dima"][name], err_msg=name)
    assert str(found["marie"]["episode"]) == "dima seed-1"
    assert found["dima"]["steps"].tolist() == [1, 5, 10, 14]
    assert found["dima"]["names"].tolist() == ["descending", "ascending", "random", "2-1-1-2"]
    assert found["mamba"]["names"].tolist() == found["marie"]["names"].tolist() == ["none"]
    assert np.isfinite(found["dima"]["error"]).all()
    assert np.isfinite(found["mamba"]["error"]).all()
    assert np.isfinite(found["marie"]["error"][0]).tolist() == [
        True,
        True,
        False,
        False,
    ]  # five steps, its horizon less one
    assert (found["marie"]["imagined"][0, 2:] == 255).all()
    assert found["mamba"]["imagined"].std(axis=(2, 3, 4)).min() > 10  # a robot, or at least its floor
    assert (found["dima"]["still"] > 0).all()


@pytest.mark.slow
@pytest.mark.remembered
def test_a_lead_that_has_not_been_trained_is_named(trained, tmp_path):
    _, cells = trained
    config, folder = cells["mamba"]
    with pytest.raises(
        UserError,
        match="has no checkpoint: its policy acts in the frames of every method with its task and seed",
    ):
        run_study("frames", config, folder, 8, CPU, (cells["dima"][0], tmp_path))
