"""The command line refuses bad input in one sentence, with status 2, and writes nothing."""

from __future__ import annotations

import pytest
import torch

import envs
from dima.cli import main

GOOD = {"grid": "tiny", "task": "push-mass", "method": "dima", "seed": "1"}


def train(**changes):
    options = GOOD | changes
    return main(["train", *(part for name, value in options.items() for part in (f"--{name}", value))])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grid": "papr"}, ["Unknown grid 'papr'", "perhaps 'paper'", "quick"]),
        ({"grid": "../tiny"}, ["Unknown grid '../tiny'"]),
        ({"task": "push-mas"}, ["Unknown task 'push-mas' in grid tiny", "perhaps 'push-mass'"]),
        ({"method": "dimma"}, ["Unknown method 'dimma' for push-mass in grid tiny", "dima-joint", "mappo"]),
        ({"seed": "7"}, ["Unknown seed '7' for push-mass/dima in grid tiny", "choose from 1, 2"]),
        ({"threads": "0"}, ["--threads must be at least 1"]),
    ],
)
def test_unknown_things_are_named_with_the_choices(workplace, capsys, changes, words):
    assert train(**changes) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert message.startswith("dima: ")
    for word in words:
        assert word in message
    assert not (workplace / "results").exists()


def test_a_method_without_a_file_is_refused(workplace, capsys):
    (workplace / "workflow/config/methods/hasac.yaml").unlink()
    assert train(grid="paper", task="ant-2x4", method="hasac") == 2
    message = capsys.readouterr().err
    assert message.startswith("dima: Unknown method 'hasac'")
    for choice in ("choose from dima, ", ", dima-joint, ", ", mappo"):
        assert choice in message
    assert not (workplace / "results").exists()


def test_a_task_without_an_environment_is_refused(workplace, capsys, monkeypatch):
    monkeypatch.setattr(
        envs.registry, "TASKS", {name: entry for name, entry in envs.TASKS.items() if name != "pen"}
    )
    assert train(grid="paper", task="pen") == 2
    assert capsys.readouterr().err.startswith("dima: Unknown task 'pen'")
    assert not (workplace / "results").exists()


@pytest.mark.parametrize("seed", ["-1", "one", "1.0", "1; rm -rf x", "²"])
def test_a_seed_is_a_whole_number(workplace, capsys, seed):
    with pytest.raises(SystemExit) as caught:
        train(seed=seed)
    assert caught.value.code == 2
    assert not (workplace / "results").exists()


def test_an_unknown_key_in_a_grid_is_refused(workplace, capsys):
    path = workplace / "workflow/config/tiny.yaml"
    path.write_text(path.read_text().replace("capacity:", "capacitty:", 1))
    assert train() == 2
    assert (
        "Unknown configuration key 'parameters.replay.capacitty' (method dima on push-mass, grid tiny)"
        in capsys.readouterr().err
    )
    assert not (workplace / "results").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(workplace, capsys):
    assert train(device="cuda") == 2
    assert "torch finds no GPU" in capsys.readouterr().err
    assert not (workplace / "results").exists()


@pytest.mark.parametrize(("method", "module", "extra"), [("mappo", "harl", "pip install -e '.[harl]'")])
def test_a_missing_extra_is_named(workplace, capsys, monkeypatch, method, module, extra):
    import sys

    for name in [
        name for name in sys.modules if name == module or name.startswith((f"{module}.", "dima.baselines"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert train(method=method) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert extra in message
    assert not (workplace / "results").exists()


def test_a_study_of_another_name_is_refused_with_the_choices(workplace, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["study", "gains", *(part for name, value in GOOD.items() for part in (f"--{name}", value))])
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert all(name in message for name in ("gains", "prediction", "orders", "gain", "calibration", "frames"))
    assert not (workplace / "results").exists()


def test_outside_the_repository_it_says_where_to_go(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train() == 2
    assert "run this from the repository's root" in capsys.readouterr().err
