"""`dima plan`: what running a grid would do, and what it would take."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dima.campaign import disk
from dima.campaign.cell_plan import RESTORED, CellPlan, cell_plans, changed_keys
from dima.campaign.plan import Plan, make_plan
from dima.campaign.plan_text import measurements, remarks, rows
from dima.campaign.speed import Speed, SpeedTable
from dima.config.grid import CellKey, Grid, load_grid
from dima.words import byte_size

ROOT = Path(__file__).parents[2]
CPU, GPU = ("cpu", "CPU, 2 cores, no GPU"), ("cuda", "CPU, 2 cores, Some GPU")
STEPS = {"push-mass": 10000, "push-mass-coupled": 20000}


@pytest.fixture
def grid_of(tmp_path: Path):
    """`grid_of(blocks, env_steps)`: the grid `trial` of the repository's own tasks and methods."""

    def make(*blocks: tuple[list[str], list[str], list[int]], env_steps: Mapping[str, int] = STEPS) -> Grid:
        config = tmp_path / "config"
        config.mkdir(exist_ok=True)
        for name in ("tasks", "methods"):
            if not (config / name).exists():
                (config / name).symlink_to(ROOT / "workflow/config" / name)
        parts = [{"tasks": tasks, "methods": methods, "seeds": seeds} for tasks, methods, seeds in blocks]
        named = {task for tasks, _, _ in blocks for task in tasks}
        overrides = {
            "tasks": {task: {"env_steps": steps} for task, steps in env_steps.items() if task in named}
        }
        (config / "trial.yaml").write_text(
            yaml.safe_dump({"experiments": {"final_returns": parts}, "overrides": overrides})
        )
        return load_grid("trial", config)

    return make


@pytest.fixture
def leave(results: Path, make_summary):
    """`leave(grid, key, ...)` leaves in a cell's folder what a run of the grid's configuration, or of
    `config`, leaves there."""

    def write(
        grid: Grid, key: CellKey, state: str = "completed", *,
        seconds: float = 400.0, steps: int = 2500, checkpoint: int = 0,
        ran_on: tuple[tuple[str, str], ...] = (CPU,),
        config: dict[str, Any] | None = None, records: int | None = None,
    ) -> Path:  # fmt: skip
        resolved = grid.resolve(key)
        folder = results / "trial/cells" / key.folder
        folder.mkdir(parents=True)
        digest, budget = resolved.digest(), resolved.task.env_steps
        if config is not None:
            digest, budget = "another", config["task"]["env_steps"]
        starts = [
            {"commit": "c", "dirty": False, "image": "none", "lock": "l", "device": device, "hardware": name}
            for device, name in ran_on
        ]
        done = state == "completed"
        word = {
            "state": state,
            "env_steps": budget if done else steps,
            "budget": budget,
            "wall_seconds": seconds,
        }
        files = {
            "config.json": {"digest": digest, "config": config or resolved.model_dump(mode="json")},
            "provenance.json": {"attempt": 1, "starts": starts, "finished": done},
            "status.json": word,
        }
        if done:
            summary = make_summary(key, 1.0, budget)
            files["summary.json"] = summary | {
                "config_hash": digest,
                "wall_seconds": seconds,
                "provenance": starts,
            }
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content))
        if records:
            written = sum(path.stat().st_size for path in folder.iterdir())
            (folder / "events.jsonl").write_text("e" * (records - written))
        if checkpoint:
            (folder / "checkpoint/000000002500").mkdir(parents=True)
            (folder / "checkpoint/000000002500/tensors.safetensors").write_bytes(bytes(checkpoint))
        return folder

    return write


def changed(grid: Grid, key: CellKey, **changes: Any) -> dict[str, Any]:
    """The cell's configuration with other values, named with `__` for a point."""
    config = grid.resolve(key).model_dump(mode="json")
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = config
        for parent in parents:
            place = place[parent]
        place[last] = value
    return config


def by_seed(grid: Grid, results: Path) -> dict[int, CellPlan]:
    return {plan.key.seed: plan for plan in cell_plans(grid, results / "trial/cells")}


def key(seed: int, task: str = "push-mass", method: str = "mappo") -> CellKey:
    return CellKey(task, method, seed)


def test_every_cell_has_a_fate_and_a_reason(grid_of, leave, results: Path) -> None:
    grid = grid_of((["push-mass"], ["mappo"], list(range(1, 18))))
    leave(grid, key(1))
    leave(grid, key(2), "running")
    leave(grid, key(3), "interrupted", checkpoint=1)
    leave(grid, key(4), "failed", checkpoint=1)
    leave(grid, key(5), "diverged", checkpoint=1)
    leave(grid, key(6), "failed")
    (leave(grid, key(7)) / "summary.json").unlink()
    leave(grid, key(8), config=changed(grid, key(8), parameters__critic_epochs=99))
    leave(grid, key(9), config=changed(grid, key(9), task__env_steps=5000))
    leave(
        grid,
        key(10),
        "interrupted",
        checkpoint=1,
        config=changed(grid, key(10), parameters__hidden_sizes=[8]),
    )
    (leave(grid, key(11), "interrupted", checkpoint=1) / "config.json").unlink()
    (leave(grid, key(12), config=changed(grid, key(12), task__env_steps=5000)) / "config.json").unlink()
    (leave(grid, key(13)) / "summary.json").write_text('{"format": 1, "grid"')
    shutil.copy(
        results / "trial/cells" / key(1).folder / "summary.json", leave(grid, key(14)) / "summary.json"
    )
    (leave(grid, key(15), "interrupted", checkpoint=1) / "status.json").unlink()
    whole = leave(grid, key(17))
    (whole / "summary.json").rename(whole / "completed.json")
    plans = by_seed(grid, results)

    continues = {seed: plan.state for seed, plan in plans.items() if plan.fate == "continue"}
    assert continues == {
        2: "running",
        3: "interrupted",
        4: "failed",
        5: "diverged",
        15: "begun",
        17: RESTORED,
    }
    assert plans[17].seconds_left == 0
    assert plans[2].seconds_left == 1200  # 400 s for a quarter: three more quarters
    assert plans[15].seconds_left is None
    epochs, sizes = (
        grid.resolve(key(1)).model_dump()["parameters"][name] for name in ("critic_epochs", "hidden_sizes")
    )
    assert {seed: plan.reason for seed, plan in plans.items() if plan.fate == "anew"} == {
        6: "failed, and there is no checkpoint of it",
        7: "its summary was removed",
        8: f"configuration changed: parameters.critic_epochs 99 -> {epochs}",
        9: "budget changed: task.env_steps 5000 -> 10000",
        10: f"configuration changed: parameters.hidden_sizes [8] -> {list(sizes)}",
        12: "configuration changed, from one that is not recorded",
    }
    assert {seed: plan.fate for seed, plan in plans.items() if plan.fate in ("finished", "new")} == {
        1: "finished",
        16: "new",
    }
    unreadable = {seed: plan.reason for seed, plan in plans.items() if plan.fate == "unreadable"}
    assert unreadable.keys() == {11, 13, 14}
    assert (
        unreadable[11]
        == "its config.json is missing: it continues if its checkpoint has the content, or is refused"
    )
    assert "seed-13/summary.json is not a record of format 1" in unreadable[13]
    assert (
        "seed-14/summary.json belongs to another cell: it says grid trial, push-mass/mappo/seed-1"
        in unreadable[14]
    )


def test_a_raised_budget_continues_where_nothing_depends_on_it(grid_of, leave, results: Path) -> None:
    shorter = grid_of((["push-mass"], ["mappo"], list(range(1, 8))), env_steps={"push-mass": 4000})
    leave(shorter, key(1), checkpoint=1)
    leave(shorter, key(2), "interrupted", checkpoint=1, steps=1000, seconds=100.0)
    leave(shorter, key(3))
    (leave(shorter, key(4), checkpoint=1) / "config.json").write_text("{")
    history = results / "trial/cells" / key(4).folder / "provenance.json"
    history.write_text(
        json.dumps(
            {**json.loads(history.read_text()), "digest": shorter.resolve(key(4)).digest(), "budget": 4000}
        )
    )
    given_up = leave(shorter, key(5), checkpoint=1) / "provenance.json"
    given_up.write_text(json.dumps({**json.loads(given_up.read_text()), "set_aside": "configuration"}))
    (leave(shorter, key(6), "interrupted", checkpoint=1) / "provenance.json").unlink()
    whole = leave(shorter, key(7), checkpoint=1)
    (whole / "summary.json").rename(whole / "completed.json")  # as Snakemake removes it
    plans = by_seed(grid_of((["push-mass"], ["mappo"], list(range(1, 8)))), results)

    raised = {
        seed: plan.seconds_left
        for seed, plan in plans.items()
        if (plan.fate, plan.state) == ("continue", "with a raised budget")
    }
    assert raised == {
        1: 600.0,
        2: 900.0,
        4: 600.0,
        7: 600.0,
    }  # 400 s for 4000 of 10,000 steps; 100 s for 1000 of them
    assert {seed: plan.reason for seed, plan in plans.items() if plan.fate == "anew"} == {
        3: "budget changed: task.env_steps 4000 -> 10000; its checkpoint is gone",
        5: "its last attempt was given up",
    }
    assert (
        plans[6].reason
        == "its provenance.json is missing: it continues if its checkpoint has the content, or is refused"
    )

    lower = by_seed(grid_of((["push-mass"], ["mappo"], [1]), env_steps={"push-mass": 3000}), results)
    assert lower[1].reason == "budget changed: task.env_steps 4000 -> 3000; its budget was not raised"


def test_a_changed_value_is_named_by_its_path_with_both_values_and_what_is_only_shown_is_not(grid_of) -> None:
    grid = grid_of((["push-mass"], ["dima"], [1]))
    cell = key(1, method="dima")
    config = grid.resolve(cell)
    horizon = config.model_dump()["parameters"]["behavior"]["horizon"]
    before = changed(
        grid,
        cell,
        parameters__behavior__horizon=horizon + 1,
        task__label="Old",
        parameters__denoiser__old=[1, 2],
    )
    del before["parameters"]["behavior"]["rollouts"]
    rollouts = config.model_dump()["parameters"]["behavior"]["rollouts"]
    assert changed_keys(before, config) == {
        "parameters.behavior.horizon": (str(horizon + 1), str(horizon)),
        "parameters.behavior.rollouts": ("none", str(rollouts)),
        "parameters.denoiser.old": ("[1, 2]", "none"),
    }


def test_hands_recorded_with_version_0_of_their_constants_are_stale(grid_of, leave, results: Path) -> None:
    """Made before there was version 1, when its name was `paper`, and after."""
    grid = grid_of((["bottle-cap"], ["mappo"], [1, 2, 3]))
    for seed, preset in ((1, "paper"), (2, "v0"), (3, "v1")):
        leave(
            grid,
            key(seed, "bottle-cap"),
            config=changed(grid, key(seed, "bottle-cap"), task__preset=preset) if preset != "v1" else None,
        )
    plans = by_seed(grid, results)
    assert [(plans[seed].fate, plans[seed].reason) for seed in (1, 2)] == [
        ("anew", f'configuration changed: task.preset "{preset}" -> "v1"') for preset in ("paper", "v0")
    ]
    assert plans[3].fate == "finished"


def test_a_method_without_a_file_is_impossible_and_a_checkouts_program_begins_again(
    grid_of, leave, results: Path
) -> None:
    grid = grid_of((["push-mass"], ["dreamer"], [1]), (["halfcheetah-2x3"], ["happo-checkout"], [1]))
    leave(grid, key(1, "halfcheetah-2x3", "happo-checkout"), "interrupted", steps=10)
    first, second = cell_plans(grid, results / "trial/cells")
    assert (first.fate, first.reason) == ("impossible", "there is no method dreamer yet")
    assert (second.fate, second.reason) == ("anew", "interrupted: the program of a checkout begins again")


@pytest.fixture
def plan(grid_of, leave, results: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """MAPPO measured on a CPU, HAPPO on a GPU and a CPU, HASAC not at all."""
    both, methods = ["push-mass", "push-mass-coupled"], ["mappo", "happo", "hasac"]
    grid = grid_of((both[:1], methods, [1, 2, 3, 4, 5]), (both[1:], methods, [1]))
    leave(grid, key(1), seconds=3600.0, checkpoint=900_000, records=100_000)
    leave(grid, key(2), seconds=7200.0, checkpoint=1_900_000, records=100_000)
    leave(grid, key(3), "running", seconds=1000.0, checkpoint=250_000, records=50_000)
    leave(
        grid,
        key(4),
        seconds=1350.0,
        checkpoint=200_000,
        records=100_000,
        config=changed(grid, key(4), task__env_steps=5000),
    )
    leave(grid, key(1, method="happo"), seconds=1800.0, ran_on=(GPU, GPU), checkpoint=1000, records=4000)
    leave(grid, key(2, method="happo"), seconds=9000.0, checkpoint=500_000, records=100_000)
    leave(grid, key(3, method="happo"), seconds=5.0, ran_on=(GPU, CPU), records=4000)
    (results / "trial/tables").mkdir()
    (results / "trial/tables/final_returns.md").write_text("t" * 700)
    attempt = results / "trial/cells" / key(2).folder / "attempts/1"
    attempt.mkdir(parents=True)
    (attempt / "events.jsonl").write_text("e" * 5000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, 10**12))
    return make_plan(grid, results)


def test_hours_and_disk_to_come_are_the_means_of_what_was_measured(plan: Plan) -> None:
    # MAPPO: 0.36, 0.72 and, of half the budget, 0.27 s a step: 4500 s for 10,000 steps, 9000 s for the other
    # task's 20,000
    per_cell = {cell: prospect.seconds for cell, prospect in plan.prospects.items()}
    assert per_cell[key(3)] == (3000.0, "CPU", True)  # its own speed: 1000 s for a quarter
    assert per_cell[key(4)] == per_cell[key(5)] == (pytest.approx(4500.0), "CPU", True)
    assert per_cell[key(1, "push-mass-coupled")] == (pytest.approx(9000.0), "CPU", False)
    assert per_cell[key(5, method="happo")] == (
        1800.0,
        "GPU",
        True,
    )  # the cell of two devices and that of the CPU are left out
    assert per_cell[key(1, "push-mass-coupled", "happo")] == (3600.0, "GPU", False)
    assert per_cell[key(1, method="hasac")] is None

    sizes = {cell: prospect.size.amount for cell, prospect in plan.prospects.items() if prospect.size}
    assert sizes == {
        key(3): 1_500_000 - 300_000,  # it has a part already
        key(4): 1_500_000 - 200_000,  # its old checkpoint goes, its old records stay
        key(5): 1_500_000,
        key(1, "push-mass-coupled"): 1_500_000,
        key(4, method="happo"): 5000,
        key(5, method="happo"): 5000,
        key(1, "push-mass-coupled", "happo"): 5000,
    }
    use = plan.use
    records = 100_000 + 105_000 + 50_000 + 100_000 + 4000 + 100_000 + 4000
    assert (use.checkpoints, use.records, use.others) == (
        900_000 + 1_900_000 + 250_000 + 200_000 + 1000 + 500_000,
        records,
        700,
    )


def test_the_tables_and_totals_say_so(plan: Plan) -> None:
    assert list(rows(plan)) == [
        ("toy", "mappo", "6", "2", "1", "1", "2", "5.83 CPU", "5.5 MB"),  # 3000 + 4500 + 4500 + 9000 s
        ("toy", "happo", "6", "3", "", "", "3", "2.00 GPU", "15.0 kB"),
        ("toy", "hasac", "6", "", "", "", "6", "unknown", "unknown"),
        ("all", "", "18", "5", "1", "1", "11", "2.00 GPU + 5.83 CPU + ?", "5.5 MB + ?"),
    ]
    assert list(measurements(plan.measured)) == [
        ("toy", "mappo", "3", "1.12", "125.0", "1.5 MB", "CPU: CPU, 2 cores, no GPU"),
        ("toy", "happo", "1", "0.50", "50.0", "5.0 kB", "GPU: CPU, 2 cores, Some GPU"),
        ("toy", "happo", "1", "2.50", "250.0", "600.0 kB", "CPU: CPU, 2 cores, no GPU"),
    ]
    assert [line.replace(str(plan.folder), "FOLDER") for line in remarks(plan)] == [
        "To continue: 1 running.",
        "To rerun:",
        "  push-mass/mappo/seed-4: budget changed: task.env_steps 5000 -> 10000",
        "Time to come: at least 2.00 h of GPU and 5.83 h of CPU for 7 cells, "
        "2 of them by their method on other tasks; 6 cells unknown.",
        "Disk: FOLDER takes 4.2 MB (checkpoints 3.8 MB, records 463.0 kB, others 700 B);",
        "  to come: at least 5.5 MB for 7 cells, 2 of them by their method on other tasks; 6 cells unknown;",
        "  free: 1.0 TB.",
    ]


def test_where_nothing_was_recorded_speeds_measured_elsewhere_tell(
    grid_of, leave, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DIMA has 11 to 21 epochs in 10,000 steps of episodes of 500 to 250, 21 to 61 in 20,000 of episodes of
    750 to 250."""
    row = {
        "grid": "paper",
        "task": "push-mass",
        "method": "dima",
        "compute": "fast",
        "device": "GPU",
        "hardware": "A Card",
        "of": "epochs",
        "source": "a/b",
    }
    speed = Speed(**row, epoch_seconds=360.0, thousand_steps_seconds=36.0, gigabytes=2.0)
    lengths = {"push-mass": (250, 500), "push-mass-coupled": (250, 750)}
    monkeypatch.setattr(
        "dima.campaign.speed.read_speeds", lambda: SpeedTable(episode_steps=lengths, speeds=(speed,))
    )
    grid = grid_of(
        (["push-mass"], ["mappo", "dima", "hasac"], [1, 2]), (["push-mass-coupled"], ["dima"], [1])
    )
    leave(grid, key(1), seconds=3600.0)
    plan = make_plan(grid, results)
    assert [row[-2] for row in rows(plan)] == [
        "1.00 CPU",
        "~4.70 to 10.7 GPU",
        "unknown",
        "1.00 CPU + ~4.70 to 10.7 GPU + ?",
    ]
    found = list(remarks(plan))
    assert found[:5] == [
        "Time to come: at least 1.00 h of CPU for 1 cell; 2 cells unknown.",
        "In addition: about 4.70 to 10.7 h of GPU for 3 cells, by speeds measured elsewhere.",
        "  dima, timed with the preset fast: 3 cells, 1 of them by another task, on A Card; "
        "11 to 61 epochs a cell",
        "  Ranges: an epoch has one episode or more, and on some tasks early episodes are short.",
        f"Disk: {plan.folder} takes {found[4].split(' takes ')[1]}",
    ]
    alone = make_plan(grid_of((["push-mass"], ["dima", "hasac"], [1])), results)
    assert (
        next(remarks(alone))
        == "Time to come: about 1.20 to 2.20 h of GPU for 1 cell, by speeds measured elsewhere; "
        "1 cell unknown."
    )


def test_a_disk_that_will_be_full_is_said(plan: Plan) -> None:
    full = Plan(**{**vars(plan), "free": 1_000_000})
    assert list(remarks(full))[-1] == "The disk will be full: free 4.5 MB more before running the grid."


def test_links_are_not_followed_and_what_is_no_cell_is_other(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(10_000))
    cell = tmp_path / "trial/cells/push-mass/mappo/seed-1"
    (cell / "studies").mkdir(parents=True)
    (cell / "studies/gain.csv").write_text("abc")
    (cell / "attempts/1/checkpoint").mkdir(parents=True)
    (cell / "attempts/1/checkpoint/content.json").write_text("1234567")
    (cell / "link").symlink_to(tmp_path / "big")
    length = len(str(tmp_path / "big"))
    (tmp_path / "trial/cells/push-mass/notes").write_text("ab")
    use = disk.disk_use(tmp_path / "trial")
    assert (use.checkpoints, use.records, use.others) == (7, length, 5)
    assert (sum(use.checkpoint.values()), sum(use.cell.values())) == (0, length)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (2.5e9, "2.5 GB"),
        (1.2345e15, "1,234.5 TB"),
    ],
)
def test_sizes_are_in_powers_of_1000(size: float, text: str) -> None:
    assert byte_size(size) == text


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dima", "plan", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_plans_the_papers_grid_before_anything_was_run_and_writes_nothing(tmp_path: Path) -> None:
    result = command("--grid", "paper", "--from", tmp_path / "none")
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["300", "cells:", "300", "not", "begun"]
    assert re.fullmatch(r"mamujoco dima 28 28 ~[\d.]+ to [\d.]+ GPU unknown", " ".join(lines[2]))
    assert ["mamujoco", "hasac", "28", "28", "unknown", "unknown"] in lines
    assert "Time to come: about " in result.stdout
    assert "cells, by speeds measured elsewhere; " in result.stdout
    assert max(map(len, result.stdout.partition("Time to come")[0].splitlines())) <= 120
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_cannot_be_read_is_named_and_costs_no_other_its_plan(tmp_path: Path) -> None:
    folder = tmp_path / "quick/cells/push-mass/dima/seed-1"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text("{")
    result = command("--grid", "quick", "--from", tmp_path)
    assert result.returncode == 0
    cells = len(load_grid("quick", ROOT / "workflow/config").cells)
    assert result.stdout.startswith(f"{cells} cells: {cells - 1} not begun, 1 unreadable")
    (named,) = [line for line in result.stdout.splitlines() if "seed-1:" in line]
    assert named.startswith(f"  push-mass/dima/seed-1: {folder}/summary.json is not a record of format 1: ")


def test_an_unknown_grid_is_refused_with_the_choices() -> None:
    result = command("--grid", "papr")
    assert result.returncode == 2
    assert "perhaps 'paper'" in result.stderr
