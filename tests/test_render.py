"""`dima render`: the film holds the episode that was played, and what goes wrong leaves no file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

import envs
from dima.cell.methods import build_learner
from dima.cli import main
from dima.config.grid import CellKey, Grid
from dima.render import film as rendering
from envs.push_mass import PushMass
from envs.scripted import push_to_goal


def film(path: Path) -> tuple[list[np.ndarray], float, str]:
    """The pictures, their rate and the codec."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.average_rate is not None
        return frames, float(stream.average_rate), stream.codec_context.name


def episode(policy, seed: int) -> tuple[list[np.ndarray], float]:
    """Pictures before each step of an episode of push-mass, and its return."""
    env = envs.make("push-mass", seed=seed)
    obs, state = env.reset()
    pictures, total = [], 0.0
    for _ in range(50):
        pictures.append(env.render(0, 90, 120))
        result = env.step(policy(obs, state))
        obs, state, total = result.obs, result.state, total + float(result.reward[0])
    return pictures, total


def alike(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    """Equal but for the losses of the codec: 0.3 of 255, where a film that is one frame late is 1.0 off."""
    return (
        len(found) == len(expected) and np.abs(np.stack(found).astype(int) - np.stack(expected)).mean() < 0.6
    )


def run(*arguments: str) -> int:
    return main(["render", "push-mass", "--size", "120x90", *arguments])


def test_a_random_policy_is_filmed_step_by_step(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("--seed", "3") == 0
    random = np.random.default_rng(3)
    pictures, total = episode(lambda *_: random.uniform(-1, 1, (1, 2, 1)).astype(np.float32), seed=3)
    frames, rate, codec = film(tmp_path / "push-mass.mp4")
    assert (rate, codec) == (10, "h264")
    assert alike(frames, pictures)
    assert not alike(frames[1:], pictures[:-1])
    assert (
        capsys.readouterr().out == f"push-mass.mp4: 50 steps, 50 frames at 10 a second, reward {total:.1f}\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["push-mass.mp4"]


def test_a_scripted_policy_is_filmed_over_as_many_episodes_as_asked(tmp_path, capsys):
    assert run("--policy", "scripted", "--steps", "60", "--output", str(tmp_path / "two.mp4")) == 0
    frames, _, _ = film(tmp_path / "two.mp4")
    pictures, _ = episode(lambda _, state: push_to_goal(state, np.zeros(1, dtype=np.int64)), seed=0)
    assert len(frames) == 60
    assert alike(frames[:50], pictures)
    assert np.abs(frames[50].astype(int) - frames[49]).mean() > 1  # another episode, another goal


def test_a_time_dependent_controller_is_told_the_step_of_the_episode(tmp_path, monkeypatch):
    told: list[int] = []

    def act(state: np.ndarray, step: np.ndarray) -> np.ndarray:
        told.append(int(step[0]))
        return np.zeros((1, 2, 1), dtype=np.float32)

    monkeypatch.setattr(rendering, "scripted_controller", lambda spec: act)
    assert run("--policy", "scripted", "--steps", "53", "--output", str(tmp_path / "film.mp4")) == 0
    assert told == [*range(50), 0, 1, 2]


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize("method", ["dima", "mamba", "mappo"])
def test_a_trained_policy_is_filmed_from_its_cell(workplace, capsys, method):
    assert main(["train", "--grid", "tiny", "--task", "push-mass", "--method", method, "--seed", "1"]) == 0
    cell = workplace / "results/tiny/cells/push-mass" / method / "seed-1"
    config = rendering.CellConfig.model_validate_json(
        json.dumps(json.loads((cell / "config.json").read_text())["config"])
    )
    learner = build_learner(config, torch.device("cpu"))
    state, _ = rendering.load_checkpoint(cell / "checkpoint")
    assert state is not None
    learner.load_state_dict(state["learner"])
    policy = learner.frozen_policy()
    pictures, total = episode(lambda obs, _: policy(obs), seed=5)
    capsys.readouterr()
    assert run("--policy", str(cell), "--seed", "5") == 0
    assert f"reward {total:.1f}\n" in capsys.readouterr().out
    assert alike(film(workplace / "push-mass.mp4")[0], pictures)


@pytest.mark.parametrize("method", ["dima", "mamba", "mappo"])
def test_a_policy_is_taken_over_without_what_training_needs(tiny: Grid, method: str):
    learner, fresh = (
        build_learner(tiny.resolve(CellKey("push-mass", method, seed)), torch.device("cpu"))
        for seed in (1, 2)
    )
    for _ in range(3):
        learner.run_epoch()
    observations = np.random.default_rng(0).normal(size=(4, 2, 5)).astype(np.float32)
    state = learner.state_dict()
    kept = ("actors", "actor_critic", "model")
    fresh.load_policy({name: value for name, value in state.items() if name in kept})
    assert_array_equal(fresh.act(observations), learner.act(observations))


class Fast(PushMass):
    """Of 125 steps a second, like Walker2d."""

    steps_per_second = 125.0


def test_no_film_runs_faster_than_60_frames_a_second(tmp_path, monkeypatch, capsys):
    asked = []

    def make(task: str, seed: int, preset: str | None = None, engine: str | None = None) -> Fast:
        asked.append(preset)
        return Fast(task, 1, seed, "paper")

    monkeypatch.setattr(envs, "make", make)
    assert run("--output", str(tmp_path / "fast.mp4")) == 0
    assert asked == [None]  # the task's first
    frames, rate, _ = film(tmp_path / "fast.mp4")
    assert rate == pytest.approx(125 / 3, rel=1e-6)
    random = np.random.default_rng(0)
    pictures, _ = episode(lambda *_: random.uniform(-1, 1, (1, 2, 1)).astype(np.float32), seed=0)
    assert alike(frames, pictures[::3])
    assert "50 steps, 17 frames at 41.6667 a second" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["push-mas"], "Unknown task 'push-mas' (did you mean 'push-mass'?): choose one of"),
        (["push-mass", "--preset", "papers"], "Unknown preset of push-mass 'papers'"),
        (
            ["push-mass", "--policy", "rando"],
            "Unknown policy 'rando': choose random, scripted, or the folder of a cell",
        ),
        (["push-mass", "--policy", "."], "Unknown policy '.': choose random"),
        (["push-mass", "--output", "film.gif"], "The output must end in .mp4, unlike film.gif."),
        (["push-mass", "--output", "nowhere/film.mp4"], "There is no folder nowhere to write film.mp4 to."),
    ],
)
def test_bad_input_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["render", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"dima: {message}")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option",
    [("--size", "480"), ("--size", "481x360"), ("--size", "8x360"), ("--size", "-16x16"), ("--steps", "0")],
)
def test_numbers_that_make_no_film_are_refused(tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["render", "push-mass", *option])
    assert caught.value.code == 2


def test_a_film_is_overwritten_only_when_asked(tmp_path, capsys):
    path = tmp_path / "film.mp4"
    path.write_text("mine")
    assert run("--output", str(path), "--steps", "2") == 2
    assert (
        capsys.readouterr().err == f"dima: {path} exists: choose another --output, or -y to overwrite it.\n"
    )
    assert path.read_text() == "mine"
    assert run("--output", str(path), "--steps", "2", "-y") == 0
    assert len(film(path)[0]) == 2


@pytest.fixture
def cell(workplace: Path, tiny: Grid) -> Path:
    """A cell's folder that holds a configuration and nothing else."""
    config = tiny.resolve(CellKey("push-mass", "dima", 1))
    (workplace / "cell").mkdir()
    (workplace / "cell/config.json").write_text(
        json.dumps({"digest": config.digest(), "config": config.model_dump(mode="json")})
    )
    return workplace / "cell"


def test_a_cell_of_another_task_or_preset_and_one_without_a_checkpoint_are_refused(cell, workplace, capsys):
    before = sorted(workplace.iterdir())
    assert main(["render", "halfcheetah-2x3", "--policy", "cell"]) == 2
    assert capsys.readouterr().err == "dima: cell was trained on task push-mass, not halfcheetah-2x3.\n"
    assert run("--policy", "cell", "--preset", "other") == 2
    assert capsys.readouterr().err == "dima: cell was trained on preset paper, not other.\n"
    assert run("--policy", "cell") == 2
    assert capsys.readouterr().err == "dima: cell has no checkpoint yet.\n"
    (cell / "config.json").write_text('{"config": {"grid": "tiny"}}')
    assert run("--policy", "cell") == 2
    assert (
        capsys.readouterr().err
        == "dima: cell/config.json holds no configuration that this version can read.\n"
    )
    assert sorted(workplace.iterdir()) == before


def test_missing_pyav_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "av", None)
    assert run() == 2
    assert (
        capsys.readouterr().err
        == "dima: Writing films needs PyAV, which is not installed: pip install -e '.[render]'.\n"
    )


class Broken(PushMass):
    """Breaks at its third step."""

    def _advance(self, actions):
        reward, terminated = super()._advance(actions)
        if self._lengths[0] == 2:
            self._worlds[:] = np.nan
        return reward, terminated


class Blind(PushMass):
    """Cannot be drawn."""

    def _draw_world(self, world, height, width):
        return envs.BatchedEnvironment.render(self, world, height, width)


class Impatient(PushMass):
    """Is interrupted in the middle."""

    def _draw_world(self, world, height, width):
        if self._lengths[0] == 2:
            raise KeyboardInterrupt
        return super()._draw_world(world, height, width)


@pytest.mark.parametrize(
    ("environment", "status", "message"),
    [
        (
            Broken,
            3,
            "push-mass: the state of world 0 is not finite at step 3 of its episode; no film was written.",
        ),
        (Blind, 2, "Push-mass draws no pictures in engine numpy."),
        (Impatient, 130, "Interrupted; no film was written."),
    ],
)
def test_a_film_that_fails_leaves_nothing_behind(tmp_path, monkeypatch, capsys, environment, status, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(envs, "make", lambda task, seed, preset, engine: environment(task, 1, seed, "paper"))
    assert run() == status
    assert capsys.readouterr().err.splitlines()[-1] == f"dima: {message}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to write to")
def test_a_full_disk_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.symlink("/dev/full", tmp_path / f".{os.getpid()}.push-mass.mp4")
    assert run() == 4
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_opengl_no_film_is_begun(tmp_path, monkeypatch, capsys):
    from envs import graphics

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(graphics, "BACKENDS", {"egl": (("NoSuchLibrary",),)})
    assert main(["render", "halfcheetah-2x3"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        "dima: No picture can be drawn, since egl cannot be loaded:"
        " install the Debian packages libegl1 and libgl1, or libosmesa6."
    )
    assert not any(path.suffix == ".mp4" or path.name.startswith(".") for path in tmp_path.iterdir())


def test_tasks_are_listed(capsys):
    from envs import task_table

    assert main(["tasks"]) == 0
    assert capsys.readouterr().out == f"{task_table.plain_text()}\n"
    assert main(["tasks", "--markdown"]) == 0
    assert capsys.readouterr().out == f"{task_table.markdown()}\n"
