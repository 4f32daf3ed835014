"""`dima status`: the progress of every cell of a grid."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import yaml
from rich.console import Console

from dima.analysis.records.files import FileRecords
from dima.campaign.cell_status import cell_statuses, with_warnings
from dima.config.grid import load_grid
from dima.record.events import EventLog

ROOT = Path(__file__).parents[2]


def write(folder: Path, state: str, steps: int, ago: float) -> None:
    folder.mkdir(parents=True)
    word = {
        "state": state,
        "env_steps": steps,
        "budget": 10000,
        "latest_return": 12.34,
        "wall_seconds": 400.0,
        "host": "node7",
    }
    (folder / "status.json").write_text(
        json.dumps({**word, "updated": time.time() - ago, "process": 1, "message": None})
    )
    (folder / "provenance.json").write_text(
        json.dumps({"attempt": 2, "starts": [{}, {}, {}], "finished": False})
    )


def test_every_cell_says_how_it_stands(tmp_path: Path) -> None:
    cells = {
        "experiments": {
            "final_returns": [{"tasks": ["push-mass"], "methods": ["mappo"], "seeds": [1, 2, 3, 4]}]
        }
    }
    (tmp_path / "workflow").symlink_to(ROOT / "workflow")
    config = tmp_path / "config"
    config.mkdir()
    for name in ("tasks", "methods"):
        (config / name).symlink_to(ROOT / "workflow/config" / name)
    (config / "some.yaml").write_text(
        yaml.safe_dump({**cells, "overrides": {"tasks": {"push-mass": {"env_steps": 10000}}}})
    )
    folder = tmp_path / "cells/push-mass/mappo"
    write(folder / "seed-1", "running", 2500, ago=3)
    write(folder / "seed-2", "completed", 10000, ago=90)
    (folder / "seed-3").mkdir()
    (folder / "seed-3/status.json").write_text('{"state": "runn')  # torn
    one, two, three, four = cell_statuses(load_grid("some", config), FileRecords(tmp_path / "cells"))
    assert (one.state, one.env_steps, one.latest_return, one.attempt, one.processes, one.where) == (
        "running",
        2500,
        12.34,
        2,
        3,
        "node7",
    )
    assert one.seconds_left == 1200  # 400 s for a quarter: three more quarters
    assert one.silent_seconds is not None
    assert 3 <= one.silent_seconds < 60
    assert (two.state, two.seconds_left) == ("completed", None)
    assert (three.state, four.state, four.budget) == ("not run", "not run", 10000)


def test_the_command_shows_a_line_for_each_cell(tmp_path: Path) -> None:
    write(tmp_path / "quick/cells/push-mass/dima/seed-1", "running", 2500, ago=600)
    command = [sys.executable, "-m", "dima", "status", "--grid", "quick", "--from", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    title, _, first, *others = result.stdout.splitlines()
    cells = len(load_grid("quick", ROOT / "workflow/config").cells)
    assert title.strip() == f"{cells} cells: 1 running, {cells - 1} not run"
    words = [
        "push-mass",
        "dima",
        "1",
        "running",
        "2,500",
        "of",
        "10,000",
        "(25%)",
        "12.3",
        "20",
        "min",
        "2,",
        "process",
        "3",
        "10",
        "min",
        "ago",
    ]
    assert first.split() == [*words, "node7"]
    assert len([line for line in others if line.strip()]) == cells - 1


def test_an_unknown_grid_is_refused() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "dima", "status", "--grid", "quikc"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert "quick" in result.stderr


def test_a_policy_that_exploits_its_model_is_warned_of_below_the_table(tmp_path: Path) -> None:
    folder = tmp_path / "quick/cells/push-mass/dima/seed-1"
    write(folder, "running", 2500, ago=1)
    log = EventLog(folder / "events.jsonl")
    for step, value in enumerate((1.0, 9.0, 2.0, 1.5, 0.0)):
        log.scalars(
            1.0, {"epoch": step, "env_steps": 100 * step}, {"behavior": {"imagined_reward": float(step)}}
        )
        log.evaluation(1.0, [{"return": value, "length": 5}] * 2, env_steps=100 * step, grid_step=100 * step)
    log.close()
    statuses = cell_statuses(
        load_grid("quick", ROOT / "workflow/config"), FileRecords(tmp_path / "quick/cells")
    )
    assert [status.warning for status in statuses if status.warning] == [
        "imagined reward rose from 1 to 3.5 while the return fell from 9.0 (at 100 steps) to 0.0:"
        " the policy may exploit errors of the world model"
    ]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(with_warnings(statuses))
    assert (
        "push-mass/dima/seed-1: imagined reward rose from 1 to 3.5" in console.export_text().splitlines()[-1]
    )
