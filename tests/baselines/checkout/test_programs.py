"""How often HARL is made to evaluate, and what is read of MARIE's pickle."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dima.baselines.checkout.foreign_pickle import TruncatedError, load_plain
from dima.baselines.checkout.harl import schedule
from dima.baselines.checkout.program import UnreadableError, scenario
from dima.errors import UserError


@pytest.mark.parametrize(
    ("env_steps", "steps", "every", "expected"),
    [
        (1_000_000, 4000, 10_000, (250, 2)),  # the paper's grid, on-policy: 2.5 updates would be due
        (150_000, 4000, 10_000, (38, 2)),  # 37.5 updates: the last one is made
        (148_000, 4000, 10_000, (37, 1)),  # a prime
        (990_000, 20, 10_000, (49_500, 500)),  # the paper's grid, HASAC after its warm-up
        (140_000, 20, 10_000, (7000, 500)),
        (
            996_020,
            20,
            10_000,
            (49_808, 283),
        ),  # 49,801 is a prime, and an evaluation every 20 steps would take days; 49,808 = 283 * 176
        (100, 20, 10_000, (5, 5)),  # only the budget
        (8000, 4000, 1000, (2, 1)),  # a grid finer than an update
        (1, 4000, 1000, (1, 1)),
    ],
)
def test_the_budget_is_evaluated_and_no_gap_is_wider_than_the_grid(env_steps, steps, every, expected) -> None:
    rounds, interval = schedule(env_steps, steps, every)
    assert (rounds, interval) == expected
    assert rounds % interval == 0
    assert rounds * steps >= env_steps
    assert interval * steps <= max(every, steps)


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("halfcheetah-6x1", ("HalfCheetah-v2", "6x1")),
        ("ant-2x4", ("Ant-v2", "2x4")),
        ("walker2d-3x2", ("Walker2d-v2", "3x2")),
    ],
)
def test_tasks_have_their_upstream_names(task, names) -> None:
    assert scenario(task) == names
    with pytest.raises(
        UserError,
        match="A checkout does not run hopper-3x1: its MAMuJoCo robots are ant, halfcheetah, walker2d",
    ):
        scenario("hopper-3x1")


def written(content: Any, folder: Path, protocol: int = 4) -> Path:
    path = folder / "marie.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("kind", ["f8", "f4", ">f8", "i8", "u2", "b1"])
def test_plain_values_are_read_as_they_are(tmp_path, protocol, kind) -> None:
    value = np.dtype(kind).type(1)
    content = {
        "steps": [1000, 2000],
        "nested": [("a", None, True, 2.5, b"x")],
        "scalar": np.array([value], kind)[0],
    }
    assert load_plain(written(content, tmp_path, protocol)) == {**content, "scalar": value.item()}
    for array in (np.array(3, kind), np.array([7], kind)):
        assert float(load_plain(written({"array": array}, tmp_path, protocol))["array"]) == float(
            array.reshape(-1)[0]
        )
    grid = np.asfortranarray(np.arange(6).reshape(2, 3).astype(kind))
    np.testing.assert_array_equal(load_plain(written(grid, tmp_path, protocol)).values, grid)


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


HOSTILE = {
    "a command": (lambda proof: Calls(os.system, f"touch {proof}"), r"posix\.system"),
    "an expression": (lambda proof: Calls(eval, f"open({str(proof)!r}, 'w')"), r"builtins\.eval"),
    "inside an array": (lambda proof: np.array([Calls(os.system, f"touch {proof}")], dtype=object), "'O8'"),
    "numpy's own reader": (lambda proof: Calls(np.load, str(proof)), r"names numpy\.load"),
    "another class": (lambda proof: proof, r"pathlib\.PosixPath"),
    "a date": (lambda _: np.datetime64("2020-01-01"), "'M8'"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, name) -> None:
    make, named = HOSTILE[name]
    proof = tmp_path / "proof"
    path = written({"steps": [1], "eval_returns": [make(proof)]}, tmp_path)
    with pytest.raises(UnreadableError, match=named):
        load_plain(path)
    assert not proof.exists()


def test_a_method_of_what_is_allowed_is_not(tmp_path) -> None:
    """`numpy.ndarray.tofile` is a name that an allowed one leads to; pickles can spell it."""
    path = tmp_path / "marie.pkl"
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.")
    with pytest.raises(UnreadableError, match=r"names numpy\.ndarray\.tofile"):
        load_plain(path)


def test_every_part_of_a_pickle_is_one_that_waits(tmp_path) -> None:
    path = written(
        {"steps": [1000], "eval_win_rates": [np.float64(0.5)], "eval_returns": [np.float64(500.25)]}, tmp_path
    )
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(TruncatedError, match="ends in the middle"):
            load_plain(path)
