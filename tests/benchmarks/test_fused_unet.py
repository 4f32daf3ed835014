"""The benchmark of the fused network, with a stand-in for what only a GPU runs: what is measured, what is
left out, how it ends."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import fused_unet
from benchmarks.fused_calls import Bench, errors
from benchmarks.fused_unet import is_right, main, tried
from dima.world_model.fused.network import Launch

WRONG = Launch(rows=4)


@pytest.fixture
def command(monkeypatch, tmp_path):
    """The command with the plain network in place of the fused one; with `WRONG` its output is a tenth too
    large."""

    def fused(bench, launch):
        factor = 1.1 if launch == WRONG else 1.0
        return lambda: lambda *inputs: bench.plain()(*inputs) * factor

    def run(*arguments):
        code = main(["--device", "cpu", "--json", str(tmp_path / "found.json"), *arguments])
        return code, json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))

    # settings of the whole process
    monkeypatch.setattr(fused_unet, "prepare_process", lambda *_: None)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
    monkeypatch.setattr(Bench, "fused", fused)
    monkeypatch.setattr(fused_unet, "refusal", lambda device, **_: None)
    monkeypatch.setattr(fused_unet, "version", lambda name: "3.7.1")
    monkeypatch.setattr(fused_unet, "LAUNCHES", {"right": Launch(), "half": Launch(weights=torch.float16)})
    return run


def test_it_finds_errors_and_times_of_what_is_right(command):
    code, found = command()
    assert code == 0
    assert (found["device"], found["triton"], found["state_dim"]) == ("cpu", "3.7.1", 17)
    assert set(found["errors"]) == {*fused_unet.EXACT, "right", "half"}
    assert found["errors"]["right"] == {"same_bits": True, "output": 0.0, "worst_gradient": 0.0}
    times = found["microseconds"]
    assert [list(times[name]) for name in ("plain", "right", "half")] == [
        ["imagined", "predicted", "trained"], ["imagined", "predicted", "trained"], ["imagined", "predicted"],
    ]  # fmt: skip
    assert times["plain, compiled"] is None
    assert all(time > 0 for name in ("plain", "right", "half") for time in times[name].values())


def test_what_is_wrong_is_named_and_not_timed(command, monkeypatch, capsys):
    monkeypatch.setattr(fused_unet, "LAUNCHES", {"wrong": WRONG, "right": Launch()})
    code, found = command()
    assert code == 1
    assert found["errors"]["wrong"]["output"] == pytest.approx(0.1)
    assert found["microseconds"]["wrong"] is None
    assert found["microseconds"]["right"] is not None
    assert capsys.readouterr().out.endswith("Not the same as the plain network: wrong.\n")


def test_nothing_begins_when_the_time_is_over(command):
    code, found = command("--seconds", "0")
    assert code == 0
    assert {*found["errors"].values(), *found["microseconds"].values()} == {None}


def test_what_fails_is_wrong_and_says_why():
    found = tried(lambda: [][1])
    assert found == {"failed": "IndexError: list index out of range"}
    assert not is_right(found, Launch())


@pytest.mark.parametrize(
    "found", [{"same_bits": False, "output": 0.0}, {"same_bits": True, "output": float("nan")}]
)
def test_a_race_and_nan_are_wrong(found):
    assert not is_right(found, Launch())
    assert is_right({"same_bits": True, "output": 0.01}, Launch())
    assert not is_right({"same_bits": True, "output": 0.01}, Launch(precision="ieee"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--state-dim", "0"], "--state-dim must be at least 1, not 0"),
        ([], "Triton is not installed"),
        (["--compile-only"], "Triton is not installed"),
    ],
)
def test_it_says_why_it_cannot_run(monkeypatch, capsys, arguments, said):
    def missing(name):
        raise fused_unet.PackageNotFoundError(name)

    monkeypatch.setattr(fused_unet, "version", missing)
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("interpreted", "arguments", "said"),
    [
        ("0", [], "There is no GPU: --compile-only"),
        ("0", ["--device", "cpu"], "set TRITON_INTERPRET=1"),
        ("1", ["--compile-only"], "TRITON_INTERPRET=1 is set, under which nothing is compiled"),
    ],
)
def test_it_says_what_triton_needs(monkeypatch, capsys, interpreted, arguments, said):
    monkeypatch.setattr(fused_unet, "version", lambda name: "3.7.1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TRITON_INTERPRET", interpreted)
    with pytest.raises(SystemExit):
        main(arguments)
    assert said in capsys.readouterr().err


def test_errors_are_those_of_the_same_numbers():
    """Not of two draws of them."""
    bench = Bench(torch.device("cpu"), 3)
    bench.fused = lambda launch: bench.plain
    assert errors(bench, Launch()) == {"same_bits": True, "output": 0.0, "worst_gradient": 0.0}
