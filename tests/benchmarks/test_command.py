"""`python -m benchmarks` at the sizes of the grid quick: what it prints and writes."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

import envs
from benchmarks import __main__ as command
from benchmarks.ratios import Measured, Pair, row, whole_epoch
from benchmarks.workload import PARTS, SIZES, sizes
from dima.config import DimaParameters


@pytest.mark.parametrize("size", SIZES)
def test_shapes_are_the_tasks(size: str) -> None:
    task, shapes = SIZES[size]
    spec = envs.make(task).spec
    assert shapes == (spec.state_dim, spec.n_agents, spec.obs_dim, spec.act_dim)


def test_ratios_of_all_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--sizes", "quick", "--pairs", "2", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found.keys() >= {"commit", "hardware", "versions", "sizes", "task", "pairs", "ratios", "minutes", "load_before_and_after"}
    assert [entry["part"] for entry in found["ratios"]] == [*PARTS, "epoch"]
    for entry in found["ratios"]:
        assert 0 < entry["ratio"]["min"] <= entry["ratio"]["median"] <= entry["ratio"]["max"]
        assert 0 < entry["gemm_fraction"] < 1.2
        assert max(entry["relative_error"], entry["relative_error_of_gradients"]) < 1e-5
        assert (entry["target"] is None) == (entry["part"] not in ("imagination", "epoch"))
    printed = capsys.readouterr().out
    assert all(f"\n{part} | " in printed for part in [*PARTS, "epoch"])


def test_counts_of_some_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--sizes", "quick", "--counts", "--parts", "state_decoder", "--json", str(tmp_path / "found.json")])
    counted = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["counts"]
    assert counted.keys() == {"state_decoder"}
    # three products in a linear layer's forward and backward pass, but two in the first, whose input needs no gradient
    layers = (6 * 128, 128 * 128, 128 * 36, 36 * 128, 128 * 128, 128 * 2 * 5)
    assert counted["state_decoder"]["flops"] == [2 * 256 * (3 * sum(layers) - layers[0])] * 2
    assert "TFLOP per epoch" not in capsys.readouterr().out


def test_an_epoch_weighs_parts_by_their_calls() -> None:
    """Quick: 80, 120 and 60 updates and 6 policy updates; imagination measured at half its 160 rollouts counts twice."""
    chosen = sizes("quick", imagination=80)
    assert isinstance(chosen.parameters, DimaParameters)
    measured = {
        part: Measured([Pair(ours, 2.0 * ours, 10.0), Pair(ours, 3.0 * ours, 10.0)], 5.0 * ours, 0.0, 0.0)
        for part, ours in zip(PARTS, (1.0, 2.0, 3.0, 4.0, 5.0), strict=True)
    }
    epoch = whole_epoch(chosen, measured)
    seconds = 80 * 1 + 120 * 2 + 60 * 3 + 12 * 4 + 6 * 5
    assert [pair.ours for pair in epoch.pairs] == [seconds] * 2
    found = row("epoch", epoch)
    assert found["ratio"] == {"median": 2.5, "min": 2.0, "max": 3.0}
    assert found["gemm_fraction"] == pytest.approx(0.5)
    assert found["met"] is True
    assert found["reference_seconds"] == statistics.median([2 * seconds, 3 * seconds])
