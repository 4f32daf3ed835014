"""The verdict on the recipe for fewer steps: scores from records, and every sentence of the rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import fewer_steps
from benchmarks.fewer_steps import BASE, PARTS, RECIPE, conclude, deciding_part, dropped, improvement, winner
from benchmarks.workload import CONFIG
from dima.config.grid import CellKey, load_grid

OTHER = "dima-swift-entropy"
ARMS = sorted({key.method for key in load_grid(fewer_steps.GRID, CONFIG).cells})


def seeds(*values: float) -> dict[int, float]:
    return dict(enumerate(values, start=1))


def around(mean: float, count: int = 8) -> dict[int, float]:
    return seeds(*(mean + seed for seed in range(count)))


def every_arm(**means: float) -> dict[str, dict[int, float]]:
    """Eight seeds of every arm; those not named are at 100, as dima."""
    return {arm: around(means.get(arm.replace("-", "_"), 100.0)) for arm in ARMS}


def test_an_arm_beats_another_with_three_of_four_pairs_and_an_interval_above_a_half() -> None:
    assert improvement(around(120), around(100)) == (1.0, 1.0, 1.0)
    assert not improvement(around(100), around(100)).beats
    tied = improvement(seeds(0, 3), seeds(1, 2))
    assert tied.probability == 0.5
    assert not tied.beats
    wide = improvement(seeds(0, 9, 9, 9), seeds(1, 1, 1, 1))
    assert wide.probability == 0.75
    assert wide.low < 0.5
    assert not wide.beats


def test_only_an_arm_below_another_with_all_three_first_seeds_is_dropped() -> None:
    scores = {
        BASE: seeds(1, 2, 3),
        RECIPE: seeds(10, 11, 12),
        OTHER: seeds(9, 9.5, 9.9),
        "dima-swift-cumulative": seeds(0, 0, 10.5),
    }
    assert dropped(scores) == [OTHER]
    assert dropped(scores | {OTHER: seeds(9, 9.5)}) == []
    assert dropped(scores | {OTHER: seeds(9, 9.5, 9.9, 50)}) == [OTHER], "later seeds bring none back"


def test_the_winner_has_the_largest_mean_and_beats_dima() -> None:
    assert winner(every_arm(dima_swift=120, dima_swift_entropy=140)) == OTHER
    assert winner(every_arm(dima_swift=101)) is None
    assert winner(every_arm(dima=150)) is None
    missing = every_arm(dima_swift=120)
    missing[OTHER] = around(100, count=7)
    assert winner(missing) == RECIPE, "its first three seeds are below all of dima-swift's"
    missing["dima-swift-sequential"] = around(118, count=7)
    assert winner(missing) is None


def test_which_part_does_it() -> None:
    policy, denoiser = PARTS
    assert deciding_part(every_arm(dima_swift=120, dima_swift_policy=120)) == f"{policy} alone does it"
    assert (
        deciding_part(every_arm(dima_swift=140, dima_swift_policy=120))
        == "it takes both parts (1 of them alone beat dima)"
    )
    assert deciding_part(every_arm(dima_swift=120)) == "it takes both parts (0 of them alone beat dima)"
    assert deciding_part(every_arm()) == "neither: dima-swift does not beat dima"
    both = every_arm(dima_swift=120, dima_swift_policy=120, dima_swift_denoiser=120)
    assert deciding_part(both) == f"{policy} alone does it and {denoiser} alone does it"
    assert deciding_part(both | {policy: around(120, count=7)}) == "undecided: seeds are missing"


def write_cell(folder: Path, key: CellKey, returns: dict[int, float], *, diverged: bool = False) -> None:
    """A cell's record as far as scores read it: an evaluation of two episodes at every step."""
    grid = load_grid(fewer_steps.GRID, CONFIG)
    path = folder / grid.name / "cells" / key.folder
    path.mkdir(parents=True)
    events = [
        {"seq": 2 * number + half, "kind": "evaluation", "grid_step": step, "return": value + sign}
        for number, (step, value) in enumerate(returns.items())
        for half, sign in enumerate((-1.0, 1.0))
    ]
    (path / "events.jsonl").write_text(
        "".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8"
    )
    state = "diverged" if diverged else "completed"
    (path / "status.json").write_text(json.dumps({"state": state}), encoding="utf-8")
    if not diverged:
        last = max(returns)
        summary = {
            **{
                "format": 1,
                "grid": grid.name,
                "status": "completed",
                "engine": "native",
                "lineage": "x",
                "attempts": 1,
                "wall_seconds": 1.0,
            },
            **{
                "task": key.task,
                "method": key.method,
                "seed": key.seed,
                "budget": last,
                "config_hash": grid.resolve(key).digest(),
            },
            **{"final": {"grid_step": last, "mean": returns[last]}, "mean_of_last_five": 0.0},
            "provenance": [{"commit": None, "dirty": None, "image": "none", "lock": None, "hardware": "x"}],
        }
        (path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def test_scores_are_areas_and_a_diverged_seed_goes_on_at_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = range(0, 30001, 2500)
    write_cell(tmp_path, CellKey("halfcheetah-2x3", "dima", 1), {step: step / 10 for step in steps})
    write_cell(tmp_path, CellKey("halfcheetah-2x3", "dima-swift", 2), {0: 0.0, 2500: 600.0}, diverged=True)
    fewer_steps.main(["--from", str(tmp_path), "--json", str(tmp_path / "found.json")])
    arms = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["arms"]
    assert arms["dima"]["scores"] == {"1": pytest.approx(1500.0)}
    assert arms["dima-swift"]["scores"] == {"2": pytest.approx(600.0 / 12)}
    assert arms["dima-swift"]["over_dima"] == {"probability": 0.0, "low": 0.0, "high": 0.0}
    assert "dima-swift | 1 | 50 | 0.00 (0.00 to 0.00)\n" in capsys.readouterr().out


def test_records_of_another_configuration_do_not_count(tmp_path: Path) -> None:
    write_cell(tmp_path, CellKey("halfcheetah-2x3", "dima", 1), dict.fromkeys(range(0, 30001, 2500), 1.0))
    path = tmp_path / "fewer-steps/cells/halfcheetah-2x3/dima/seed-1/summary.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"config_hash": "', '"config_hash": "0'), encoding="utf-8"
    )
    found = conclude(fewer_steps.read_scores(load_grid(fewer_steps.GRID, CONFIG), [tmp_path]))
    assert found["arms"]["dima"]["scores"] == {}
