"""The table of measured speeds: its numbers are those of the evidence, and times of cells follow from it by
hand."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest
from conftest import CONFIG, ROOT

from dima.campaign import speed_page
from dima.campaign.speed import PAPER, Range, Speed, Speeds, SpeedTable, epochs_of, read_speeds
from dima.config import CellConfig
from dima.config.grid import CellKey, Grid, GridFile, load_grid, plain_grid, validate
from dima.errors import UserError
from dima.record.archive import read_archive

REFERENCE = ROOT / "workflow/reference"
TABLE = read_speeds(REFERENCE)
LENGTHS = TABLE.episode_steps


def cell(task: str, method: str) -> CellConfig:
    return plain_grid([task], [method], config_dir=CONFIG).resolve(CellKey(task, method, 1))


@pytest.mark.parametrize(
    ("task", "method", "epochs"),
    [
        ("halfcheetah-2x3", "dima", (996, 996)),  # 5,000 steps of warm-up, then 1,000 in each
        ("walker2d-2x3", "dima", (996, 4608)),  # 27 steps an episode: 5,022, then 216 in each
        ("ant-4x2", "dima", (996, 4976)),
        ("pen", "dima", (591, 591)),  # 5,000, then four episodes of 125
        ("halfcheetah-2x3", "mamba", (1000, 1000)),
        ("walker2d-2x3", "mamba", (1000, 37020)),  # learns after every episode: 513 steps, then 27 in each
        ("walker2d-2x3", "mappo", (250, 250)),  # 20 worlds, 200 steps each
        ("halfcheetah-2x3", "hasac", (991, 991)),  # 10,000 of warm-up, then 20 worlds, 50 steps each
    ],
)
def test_epochs_by_hand(task: str, method: str, epochs: tuple[int, int]) -> None:
    assert epochs_of(cell(task, method), LENGTHS[task]) == epochs


def test_epochs_of_the_evidence_were_counted_alike() -> None:
    for folder, grid in (
        ("halfcheetah-cpu", "cpu"),
        ("baselines-halfcheetah/mamba", "baselines-halfcheetah"),
    ):
        summary = json.loads((ROOT / f"benchmarks/evidence/{folder}/seed-1/summary.json").read_text())
        config = load_grid(grid, CONFIG).resolve(CellKey("halfcheetah-2x3", summary["method"], 1))
        assert epochs_of(config, LENGTHS["halfcheetah-2x3"]) == (summary["epochs"], summary["epochs"])


def test_a_checkouts_program_has_no_epochs() -> None:
    with pytest.raises(UserError, match="Epochs of marie-checkout cannot be counted"):
        epochs_of(cell("halfcheetah-2x3", "marie-checkout"), (1000, 1000))


def whole_cells(speed: Speed) -> list[dict[str, Any]]:
    """The summaries of the row's source that ran on its hardware."""
    if speed.source == "results/records":
        cells = read_archive(ROOT / speed.source / f"paper.{speed.task}.{speed.method}.tar.xz", "paper").cells
        found = [json.loads(files["summary.json"]) for files in cells.values()]
    else:
        found = [json.loads(path.read_text()) for path in (ROOT / speed.source).glob("seed-*/summary.json")]
    return [
        one for one in found if {process["hardware"] for process in one["provenance"]} == {speed.hardware}
    ]


@pytest.mark.parametrize(
    "speed",
    [speed for speed in TABLE.speeds if speed.of == "cells"],
    ids=lambda speed: f"{speed.method}-{speed.task}",
)
def test_speeds_of_whole_cells_are_medians_of_the_records(speed: Speed) -> None:
    found = whole_cells(speed)
    assert speed.epoch_seconds == pytest.approx(
        median(one["wall_seconds"] / one["epochs"] for one in found), abs=1e-3
    )
    assert {(one["grid"], one["method"]) for one in found} == {(speed.grid, speed.method)}


def test_speeds_on_the_gpu_are_those_of_its_log() -> None:
    (speed,) = (
        speed for speed in TABLE.speeds if speed.device == "GPU" and speed.source == "benchmarks/evidence/gpu"
    )
    folder = ROOT / speed.source / "h100-2026-11-27"
    learning = [
        float(seconds)
        for seconds in re.findall(r"^epoch ([\d.]+)", (folder / "profile.txt").read_text(), re.MULTILINE)
    ]
    assert speed.epoch_seconds == pytest.approx(mean(learning), abs=5e-3)
    with (folder / "epochs.csv").open(newline="") as file:
        ends = {int(row["env_steps"]): float(row["wall_seconds"]) for row in csv.DictReader(file)}
    whole = (ends[80_000] - ends[20_000]) / 60
    assert speed.epoch_seconds + (speed.thousand_steps_seconds or 0) == pytest.approx(whole, abs=1e-2)


def test_speeds_of_single_updates_are_those_of_the_benchmark() -> None:
    found = json.loads((ROOT / "benchmarks/evidence/speed/speed.json").read_text())["ratios"]
    epochs = {row["precision"]: row["ours_seconds"] for row in found if row["part"] == "epoch"}
    collecting = json.loads((ROOT / "benchmarks/evidence/harl/collecting.json").read_text())["rows"]
    (steps,) = (
        row["seconds_per_1000_steps"]["median"]
        for row in collecting
        if (row["grid"], row["task"]) == ("paper", "halfcheetah-2x3")
    )
    rows = {speed.compute: speed for speed in TABLE.speeds if speed.of == "updates"}
    for compute, precision in (("reference", "float32"), ("fast", "bfloat16")):
        assert rows[compute].epoch_seconds == pytest.approx(epochs[precision], rel=1e-3)
        assert rows[compute].thousand_steps_seconds == pytest.approx(steps, abs=1e-3)


def test_every_row_names_what_there_is() -> None:
    tasks = {path.stem for path in (CONFIG / "tasks").glob("*.yaml")}
    methods = {path.stem for path in (CONFIG / "methods").glob("*.yaml")}
    assert set(LENGTHS) == tasks
    assert all(shortest <= longest for shortest, longest in LENGTHS.values())
    for speed in TABLE.speeds:
        assert (speed.task in tasks, speed.method in methods, (CONFIG / f"{speed.grid}.yaml").exists()) == (
            True,
            True,
            True,
        )
        assert (speed.device == "GPU") == (speed.gigabytes is not None)


def made(**changes: Any) -> Speed:
    """A row of DIMA on a GPU."""
    row = {
        "grid": PAPER,
        "task": "halfcheetah-2x3",
        "method": "dima",
        "device": "GPU",
        "hardware": "A Card",
        "epoch_seconds": 2.0,
    }
    return Speed(
        **row
        | {
            "compute": "reference",
            "thousand_steps_seconds": 0.5,
            "gigabytes": 3.0,
            "of": "epochs",
            "source": "a/place",
        }
        | changes
    )


def speeds(grid: Grid, *rows: Speed) -> Speeds:
    return Speeds(grid, SpeedTable(episode_steps=LENGTHS, speeds=rows))


def test_a_cells_time_is_that_of_its_epochs_and_its_steps() -> None:
    paper = speeds(load_grid("paper", CONFIG), made())
    found = paper.expected(CellKey("halfcheetah-2x3", "dima", 3))
    assert found is not None
    assert (found.epochs, found.seconds) == (Range(996, 996), Range(996 * 2.0 + 500, 996 * 2.0 + 500))
    assert paper.gigabytes(CellKey("halfcheetah-2x3", "dima", 1)) == 3.0
    assert (
        paper.expected(CellKey("pen", "dima", 1)) is paper.gigabytes(CellKey("pen", "dima", 1)) is None
    )  # another suite
    assert paper.expected(CellKey("halfcheetah-2x3", "mappo", 1)) is None


def test_the_row_that_suits_best_is_taken() -> None:
    """A GPU's before a CPU's, one of the cell's preset before another, the task's own before another
    task's."""
    rows = [
        made(task="halfcheetah-6x1", compute="fast", device="CPU", hardware="1"),
        made(device="CPU", hardware="2"),
        made(compute="fast", hardware="3"),
        made(task="halfcheetah-3x2", hardware="4"),
        made(hardware="5"),
    ]
    paper, key = load_grid("paper", CONFIG), CellKey("halfcheetah-2x3", "dima", 1)
    for count in range(1, 6):
        found = speeds(paper, *rows[:count]).expected(key)
        assert found is not None
        assert found.speed.hardware == str(count)
    assert speeds(paper, made(compute="fast")).gigabytes(key) is None, "another preset takes other memory"
    fast = speeds(plain_grid([key.task], ["dima-fast"], config_dir=CONFIG), made(compute="fast"))
    assert fast.gigabytes(CellKey(key.task, "dima-fast", 1)) == 3.0, (
        "which differs from dima in the preset alone"
    )


def test_small_networks_are_not_expected_to_take_what_large_ones_took() -> None:
    """Nor the other way round; and a grid that changes nothing of a method but its budget is one of its
    file's sizes."""
    key = CellKey("halfcheetah-2x3", "dima", 1)
    small = load_grid("cpu", CONFIG)
    assert speeds(small, made()).expected(key) is None
    assert speeds(small, made(grid="cpu")).expected(key) is not None
    assert speeds(load_grid("paper", CONFIG), made(grid="cpu")).expected(key) is None
    experiments = {"any": [{"tasks": [key.task], "methods": [key.method], "seeds": [1]}]}
    short = {"experiments": experiments, "overrides": {"tasks": {key.task: {"env_steps": 8000}}}}
    found = speeds(Grid("mine", validate(GridFile, short, "test"), CONFIG), made()).expected(key)
    assert found is not None
    assert found.seconds == Range(4 * 2.0 + 8 * 0.5, 4 * 2.0 + 8 * 0.5)


def test_rows_of_tasks_that_a_folder_does_not_have_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/push-mass.yaml").symlink_to(CONFIG / "tasks/push-mass.yaml")
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods/dima.yaml").write_text(
        (CONFIG / "methods/dima.yaml").read_text().partition("for_suite:")[0].partition("for_task:")[0]
    )
    grid = plain_grid(["push-mass"], ["dima"], config_dir=tmp_path)
    found = speeds(grid, made(), made(task="push-mass", hardware="Another")).expected(
        CellKey("push-mass", "dima", 1)
    )
    assert found is not None
    assert found.speed.hardware == "Another"


def test_a_table_that_is_not_in_order_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no configuration file .*speed\.yaml"):
        read_speeds(tmp_path)
    text = (REFERENCE / "speed.yaml").read_text().replace("epoch_seconds: 3.38", "epoch_seconds: 0", 1)
    (tmp_path / "speed.yaml").write_text(text)
    with pytest.raises(UserError, match=r"'speeds\.0\.epoch_seconds' = 0 cannot be used \(speed\.yaml\)"):
        read_speeds(tmp_path)


def test_the_page_carries_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = re.findall(
        r"<!-- speed -->\n(.*?)\n<!-- /speed -->",
        (ROOT / "docs/speed.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert found == [speed_page.markdown()], (
        "run `python -m dima.campaign.speed_page` and put its output between the markers"
    )


def test_the_page_says_what_is_measured_what_is_not_and_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        made(),
        made(compute="fast", device="CPU", hardware="1 core", of="updates", gigabytes=None),
        made(
            method="mappo",
            device="CPU",
            hardware="2 cores",
            gigabytes=None,
            of="cells",
            thousand_steps_seconds=None,
        ),
    ]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(
        speed_page, "read_speeds", lambda: SpeedTable(episode_steps=LENGTHS, speeds=tuple(rows))
    )
    lines = speed_page.markdown().splitlines()
    assert (
        "| `dima`, fast | 1 core | halfcheetah-2x3 | 996 | 42 |  "
        "| [extrapolated from single updates](../a/place) |" in lines
    )
    assert (
        "| `dima` | A Card | halfcheetah-2x3 | 996 | 42 | 3 | [extrapolated from epochs](../a/place) |"
        in lines
    )
    other = "[extrapolated from halfcheetah-2x3](../a/place)"
    assert f"| `dima` | A Card | ant-2x4, ant-4x2 | 996 to 4,976 | 42 to 174 | 3 | {other} |" in lines
    assert (
        "| `mappo` | 2 cores | halfcheetah-2x3 | 250 | 8.3 |  | [measured, whole cells](../a/place) |"
        in lines
    )
    assert sum("1 core" in line for line in lines) == 1, "single updates say nothing of other tasks"
    methods = "`dima-joint`, `happo`, `hasac`, `mamba`, `marie`"
    assert lines[-1] == f"Not measured at the paper's sizes: {methods}; any method on bidexhands."
