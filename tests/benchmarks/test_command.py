"""`python -m benchmarks` at the sizes of the grid quick: what it prints and writes."""

from __future__ import annotations

import itertools
import json
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import envs
from benchmarks import __main__ as command
from benchmarks import ratios
from benchmarks.contenders import Dima, Plain, relative_error
from benchmarks.ratios import Measured, Round, rows, whole_epoch
from benchmarks.workload import PARTS, SIZES, Sizes, random_data, sizes
from dima.config import DimaParameters

pytestmark = [pytest.mark.slow, pytest.mark.remembered]


@pytest.mark.parametrize("size", SIZES)
def test_shapes_are_the_tasks(size: str) -> None:
    task, shapes = SIZES[size]
    spec = envs.make(task).spec
    assert shapes == (spec.state_dim, spec.n_agents, spec.obs_dim, spec.act_dim)


@pytest.mark.parametrize("known", [("float32",), ("float32", "bfloat16")])
def test_all_is_measured(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    known: tuple[str, ...],
) -> None:
    monkeypatch.setattr(ratios, "precisions", lambda: known)
    command.main(["--sizes", "quick", "--pairs", "2", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found.keys() >= {
        "commit",
        "hardware",
        "versions",
        "sizes",
        "task",
        "pairs",
        "minutes",
        "load_before_and_after",
    }
    assert [(entry["part"], entry["precision"]) for entry in found["ratios"]] == list(
        itertools.product([*PARTS, "epoch"], known)
    )
    for entry in found["ratios"]:
        assert 0 < entry["ratio"]["min"] <= entry["ratio"]["median"] <= entry["ratio"]["max"]
        assert entry["gemm_fraction"] > 0
        exact = entry["precision"] == "float32"
        assert max(entry["relative_error"], entry["relative_error_of_gradients"]) < (1e-5 if exact else 0.1)
        assert (entry["target"], entry["reason"]) == (None, None)  # the targets are for the paper's sizes
    assert {row["task"] for row in found["harl"]} == {"push-mass"}
    assert found["counts"]["host_synchronisations_per_epoch"] == 0
    printed = capsys.readouterr().out
    assert all(f"\n{part} | {precision} | " in printed for part in [*PARTS, "epoch"] for precision in known)
    assert ("bfloat16 was not measured" in printed) == ("bfloat16" not in known)


def test_bfloat16_moves_the_transformers_alone(small: Callable[..., Sizes]) -> None:
    chosen = small()
    data = random_data(chosen)
    fast = chosen._replace(parameters=chosen.parameters.model_copy(update={"compute": "fast"}))
    for part in PARTS:
        ours, plain = (getattr(contender, part)() for contender in (Dima(fast, data), Plain(chosen, data)))
        error = relative_error(ours, plain)
        assert error < 0.1
        assert (error > 1e-6) == (part in ("denoiser", "reward_model", "imagination"))


def test_counts_of_some_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(
        ["--sizes", "quick", "--counts", "--parts", "state_decoder", "--json", str(tmp_path / "found.json")]
    )
    counted = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["counts"]
    assert counted.keys() == {"state_decoder"}
    # three products in a linear layer's forward and backward pass, but two in the first, whose input needs no
    # gradient
    layers = (6 * 128, 128 * 128, 128 * 36, 36 * 128, 128 * 128, 128 * 2 * 5)
    assert counted["state_decoder"]["flops"] == [2 * 256 * (3 * sum(layers) - layers[0])] * 2
    assert "TFLOP per epoch" not in capsys.readouterr().out


def made(ours: float, ratios: tuple[float, ...], reference_flops: float = 10.0) -> Measured:
    """Rounds of calls of ours that take `ours` seconds, at half the speed of a GEMM, 80 % of the time in
    products."""
    rounds = [Round(ratio * ours, {"float32": ours}, {"float32": 10.0}) for ratio in ratios]
    spent = Counter(
        {"addmm": 0.7 * ours, "convolution": 0.1 * ours, "gelu": 0.15 * ours, "copy_": 0.05 * ours}
    )
    return Measured(
        rounds, (reference_flops * ours, 5.0 * ours), {"float32": 0.0}, {"float32": 0.0}, {"float32": spent}
    )


def test_an_epoch_weighs_parts_by_their_calls() -> None:
    """Quick: 80, 120 and 60 updates and 6 policy updates; imagination measured at half its 160 rollouts
    counts twice."""
    chosen = sizes("quick", imagination=80)
    assert isinstance(chosen.parameters, DimaParameters)
    measured = {
        part: made(ours, (2.0, 3.0)) for part, ours in zip(PARTS, (1.0, 2.0, 3.0, 4.0, 5.0), strict=True)
    }
    epoch = whole_epoch(chosen, measured)
    seconds = 80 * 1 + 120 * 2 + 60 * 3 + 12 * 4 + 6 * 5
    assert [one.ours["float32"] for one in epoch.rounds] == [seconds] * 2
    (found,) = rows("epoch", epoch, targets=True)
    assert found["ratio"] == {"median": 2.5, "min": 2.0, "max": 3.0}
    assert found["gemm_fraction"] == pytest.approx(0.5)
    assert (found["target"], found["met"], found["gemm_met"]) == (1.5, True, False)
    assert found["reference_seconds"] == statistics.median([2 * seconds, 3 * seconds])
    products = "80% of our time are products of matrices"
    assert found["reason"] == f"the reference has 2.00 times our FLOPs; {products}, then gelu 15%, copy_ 5%"


def test_a_ratio_is_met_from_its_target_on() -> None:
    for ratio, met in ((1.99, False), (2.0, True)):
        (found,) = rows("imagination", made(1.0, (ratio,)), targets=True)
        assert (found["met"], found["reason"] is None) == (met, met)
