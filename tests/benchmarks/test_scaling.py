"""How cost grows: operations without noise and by hand, fits of known power laws, the command on small sizes,
and its figure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch

import envs
from benchmarks import memory, scaling, scaling_figure
from benchmarks.growth import AXES, EXPECTED_OF_MEMORY, Point, base, expected_of_time, fit, growth
from benchmarks.workload import PARTS, Sizes
from dima.cell.methods import build_learner
from dima.config import CellConfig
from dima.config.grid import merge, validate

pytestmark = [pytest.mark.slow, pytest.mark.remembered]

ROOT = Path(__file__).parents[2]
ROWS = 2
HORIZON = 10
HIDDEN = 128
"""Of state decoder and actor in the grid quick; there all attention has 64 numbers in its heads together."""
ATTENTION = 64


def operations(axis: str, axis_sizes: list[int], rows: int = ROWS) -> dict[str, np.ndarray]:
    """Of each part at each size, at the networks that are measured and with few rows."""
    found = [
        scaling.Candidate(
            Point(axis, size).sizes(base())._replace(rows=dict.fromkeys(PARTS, rows))
        ).operations()
        for size in axis_sizes
    ]
    return {part: np.array([counts[part] for counts in found], dtype=np.int64) for part in PARTS}


@pytest.fixture(scope="module")
def with_agents() -> dict[str, np.ndarray]:
    """With 3 to 6 agents, where K = N."""
    return operations("agents", [3, 4, 5, 6])


@pytest.mark.parametrize("part", PARTS)
def test_operations_grow_with_the_square_of_the_agents_at_most(
    with_agents: dict[str, np.ndarray], part: str
) -> None:
    assert np.diff(with_agents[part], 1).min() > 0
    assert not np.diff(with_agents[part], 3).any()


def test_squares_of_the_agents_by_hand(with_agents: dict[str, np.ndarray]) -> None:
    """The factor of N^2, from second differences: those of c N^2 are 2 c. Two operations for a
    multiplication with its addition."""
    square = {part: set((np.diff(counts, 2) // 2).tolist()) for part, counts in with_agents.items()}
    steps = 2 * ROWS * HORIZON
    # N (N + 3) outputs; three products in a forward and backward pass
    assert square["state_decoder"] == {2 * ROWS * HIDDEN * 3}
    # one condition attends to 3 N actions
    assert square["denoiser"] == {0}
    # N actions attend to each other, by products while it trains on a CPU: two forward, four backward
    assert square["reward_model"] == {steps * ATTENTION * 6}
    # N policies read N + 3 numbers: once for the old probabilities, then three products in five passes
    assert square["behavior"] == {steps * HIDDEN * (1 + 5 * 3)}
    # N conditions of four latents attend to 3 N actions; scoring as above, decoder and policy, all forward
    assert max(square["imagination"]) <= steps * (4 * 3 * ATTENTION * 2 + ATTENTION * 2 + HIDDEN + HIDDEN)


def test_two_agents_have_as_many_denoising_steps_as_four() -> None:
    """Which is why cost hardly grows there: K = 2N up to two agents, else N."""
    parameters = base().parameters
    assert [parameters.sampler.steps_for(agents) for agents in AXES["agents"]] == [4, 3, 4, 6, 12, 24]


def test_operations_are_linear_in_the_state() -> None:
    """By first and last layers alone: two products of each first layer, since states need no gradient."""
    slopes = {part: set(np.diff(counts).tolist()) for part, counts in operations("state", [6, 7, 8]).items()}
    assert {part: len(found) for part, found in slopes.items()} == dict.fromkeys(PARTS, 1)
    assert slopes["state_decoder"] == {2 * ROWS * HIDDEN * 2}
    assert slopes["reward_model"] == {2 * ROWS * HORIZON * 64 * 2}
    assert min(slopes["denoiser"] | slopes["imagination"] | slopes["behavior"]) > 0


def test_operations_are_proportional_to_the_rollouts_where_there_are_any() -> None:
    few, many = (scaling.Candidate(Point("rollouts", size).sizes(base())).operations() for size in (4, 12))
    grown = {part: many[part] / few[part] for part in PARTS}
    imagination = grown.pop("imagination")
    assert grown == {"state_decoder": 1, "denoiser": 1, "reward_model": 1, "behavior": 3}
    assert 2.99 < imagination <= 3  # the action encoder's learned queries are the same for all
    updates = {"state_decoder": 80, "denoiser": 120, "reward_model": 60, "imagination": 6, "behavior": 6}
    assert few["epoch"] == sum(updates[part] * few[part] for part in PARTS)


@pytest.mark.parametrize("agents", AXES["agents"])
def test_shapes_are_those_of_the_family(agents: int) -> None:
    spec = envs.make(f"push-mass-{agents}").spec
    assert Point("agents", agents).sizes(base()).shapes == (
        spec.state_dim,
        spec.n_agents,
        spec.obs_dim,
        spec.act_dim,
    )


def test_only_the_axis_changes() -> None:
    start = base()
    assert Point("state", 54).sizes(start) == start._replace(shapes=(54, 2, 5, 1))
    found = Point("rollouts", 75).sizes(start)
    assert (found.shapes, found.parameters.behavior.rollouts) == (start.shapes, 75)
    assert found.rows == start.rows | {"imagination": 75, "behavior": 75}
    assert found.parameters.denoiser == start.parameters.denoiser


def test_a_known_power_law_is_found_again() -> None:
    axis_sizes = np.array([2, 3, 4, 6, 12, 24])
    assert fit(axis_sizes, 3 * axis_sizes**1.7) == pytest.approx((1.7, 3))
    noise = np.array([1.05, 0.95, 1.0, 1.0, 0.95, 1.05])
    assert fit(axis_sizes, 3 * axis_sizes**1.7 * noise).exponent == pytest.approx(1.7, abs=0.05)
    assert fit([10, 20], [5, 20]) == pytest.approx((2, 0.05))
    assert fit([1, 10, 100], [1, 1, 10]).exponent == pytest.approx(0.5)


@pytest.mark.parametrize(("axis_sizes", "costs"), [([2], [1.0]), ([2, 3], [1.0, 0.0]), ([2, 3], [-1.0, 1.0])])
def test_no_power_law_goes_through_these(axis_sizes: list[int], costs: list[float]) -> None:
    with pytest.raises(ValueError, match="a power law needs two points, all positive"):
        fit(axis_sizes, costs)


def test_what_time_is_expected_to_do() -> None:
    assert expected_of_time([1, 2, 4], [10, 10, 10]) == 0
    assert expected_of_time([1, 2, 4], [10, 11, 12]) == 1
    assert expected_of_time([1, 2, 4], [10, 11, 44]) == pytest.approx(2)


@pytest.mark.parametrize(("last", "verdict"), [(4.2, True), (4.4, False)])
def test_the_last_two_sizes_can_break_the_expectation(last: float, verdict: bool) -> None:
    """log2 4.2 - 1 = 1.07, within the tolerance of 0.1; log2 4.4 - 1 = 1.14."""
    found = growth("x", "s", "agents", {1: [1.0], 2: [2.0, 1.0, 9.0], 4: [last]}, 1.0)
    assert found["median"] == [1, 2, last]
    assert found["exponent_of_the_last_two"] == pytest.approx(np.log2(last) - 1)
    assert found["exponent"] == pytest.approx(np.log2(last) / 2)
    assert found["at_most_expected"] is verdict


def synthetic() -> list[dict[str, Any]]:
    """All rows that the figure draws, out of power laws."""
    rows = []
    for axis, axis_sizes in AXES.items():
        for factor, quantity in enumerate(scaling_figure.LOOKS, start=1):
            measured = {
                size: [0.9 * factor * size**0.8, factor * size**0.8, 1.3 * factor * size**0.8]
                for size in axis_sizes
            }
            rows.append(growth(quantity, "s", axis, measured, EXPECTED_OF_MEMORY))
    return rows


def test_the_figure_has_the_same_bytes_again(tmp_path: Path) -> None:
    found = synthetic()
    first = scaling_figure.save(found, tmp_path / "first")
    assert [path.name for path in first] == ["first.png", "first.pdf"]
    (tmp_path / "found.json").write_text(json.dumps({"growth": found}), encoding="utf-8")
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red"}):  # as a user's own settings might be
        scaling_figure.main([str(tmp_path / "found.json"), str(tmp_path / "second")])
    for path in first:
        assert path.read_bytes() == path.with_stem("second").read_bytes()
        assert path.stat().st_size > 5000


def test_the_figure_shows_every_number() -> None:
    found = synthetic()
    figure = scaling_figure.draw(found)
    assert [panel.get_xlabel() for panel in figure.axes] == list(scaling_figure.AXIS_LABELS.values()) * 2
    for panel, names in zip(figure.axes, [6, 6, 6, 1, 1, 1], strict=True):
        assert [text.get_text()[-11:] for text in panel.get_legend().get_texts()] == ["0.80 / 0.80"] * names
        assert len({text.get_text() for text in panel.get_legend().get_texts()}) == names
        assert (panel.get_xscale(), panel.get_yscale()) == ("log", "log")
    assert {quantity.removeprefix("time of ") for quantity in scaling_figure.LOOKS} == {
        *scaling.QUANTITIES,
        "peak memory",
    }


def test_the_command(
    small: Callable[..., Sizes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = {"agents": (2, 3), "state": (6, 12), "rollouts": (4, 8)}
    monkeypatch.setattr(scaling, "AXES", few)
    monkeypatch.setattr(scaling, "base", small)
    monkeypatch.setattr(scaling, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(memory, "measured_apart", lambda point: point.size * 2**20)
    scaling.main(
        ["--sweeps", "2", "--json", str(tmp_path / "found.json"), "--figure", str(tmp_path / "found")]
    )
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found.keys() == {
        "commit", "dirty", "hardware", "python", "versions", "processors",
        "sweeps", "growth", "minutes", "load_before_and_after",
    }  # fmt: skip
    times, peaks = found["growth"][: 3 * 6], found["growth"][3 * 6 :]
    assert [(row["axis"], row["quantity"]) for row in times] == [
        (axis, f"time of {name}") for axis in few for name in [*PARTS, "epoch"]
    ]
    for row in times:
        assert row.keys() == peaks[0].keys() | {"operations"}
        assert row["sizes"] == list(few[row["axis"]])
        assert [len(repetitions) for repetitions in row["measured"]] == [2, 2]
        assert min(map(min, row["measured"])) > 0
    assert [(row["axis"], row["exponent"], row["at_most_expected"]) for row in peaks] == [
        (axis, pytest.approx(1), True) for axis in few
    ]
    printed = capsys.readouterr().out
    assert (
        "\npeak memory | agents | 2 to 3 | 2 MiB | 3 MiB | 1.00 | 1.00 | 1.00 | at most expected\n" in printed
    )
    assert (tmp_path / "found.png").is_file()


HELD = """
import torch
from benchmarks import memory

def hold(_):
    for _ in range(3):
        torch.ones(64 * 2**20 // 4)

torch.ones(200 * 2**20 // 4)  # what was held before does not count
memory._call_every_part = hold
print(memory.peak(memory.base()))
"""


def test_the_high_water_mark_is_what_was_held_at_once() -> None:
    """In a fresh process, as the command does it: this one may keep freed memory."""
    command = [sys.executable, "-c", HELD]
    found = subprocess.run(
        command, env=os.environ | memory.ALLOCATOR, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert 60 * 2**20 < int(found.stdout) < 90 * 2**20


def test_memory_of_a_point_in_a_process_of_its_own() -> None:
    """The imagined rollouts alone have 600 * 10 * 2 activations of 128 numbers in each of several layers, 6
    MiB each."""
    assert 15 * 2**20 < memory.measured_apart(Point("rollouts", 600)) < 300 * 2**20


def test_a_learner_trains_with_six_agents(tiny_cell: CellConfig) -> None:
    changes = {"task": {"name": "push-mass-6", "agents": 6}}
    learner = build_learner(
        validate(CellConfig, merge(tiny_cell.model_dump(mode="json"), changes), "test"), torch.device("cpu")
    )
    for _ in range(2):
        learner.run_epoch()
    assert learner.lineage == "push-mass-N-v1 (closed form)"
    assert learner.frozen_policy()(np.zeros((3, 6, 9), dtype=np.float32)).shape == (3, 6, 1)
    learner.close()
