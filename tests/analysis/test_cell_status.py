"""`dima status`: how the cells of a grid stand."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import yaml

from dima.analysis.cell_status import cell_statuses
from dima.analysis.records import FileRecords
from dima.grid import load_grid

ROOT = Path(__file__).parents[2]


def write(folder: Path, state: str, steps: int, ago: float) -> None:
    folder.mkdir(parents=True)
    word = {"state": state, "env_steps": steps, "budget": 10000, "latest_return": 12.34, "wall_seconds": 400.0, "host": "node7"}
    (folder / "status.json").write_text(json.dumps({**word, "updated": time.time() - ago, "process": 1, "message": None}))
    (folder / "provenance.json").write_text(json.dumps({"attempt": 2, "starts": [{}, {}, {}], "finished": False}))


def test_every_cell_says_how_it_stands(tmp_path: Path) -> None:
    cells = {"experiments": {"final_returns": [{"tasks": ["push-mass"], "methods": ["mappo"], "seeds": [1, 2, 3, 4]}]}}
    (tmp_path / "workflow").symlink_to(ROOT / "workflow")
    config = tmp_path / "config"
    config.mkdir()
    for name in ("tasks", "methods"):
        (config / name).symlink_to(ROOT / "workflow/config" / name)
    (config / "some.yaml").write_text(yaml.safe_dump({**cells, "overrides": {"tasks": {"push-mass": {"env_steps": 10000}}}}))
    folder = tmp_path / "cells/push-mass/mappo"
    write(folder / "seed-1", "running", 2500, ago=3)
    write(folder / "seed-2", "completed", 10000, ago=90)
    (folder / "seed-3").mkdir()
    (folder / "seed-3/status.json").write_text('{"state": "runn')  # torn
    one, two, three, four = cell_statuses(load_grid("some", config), FileRecords(tmp_path / "cells"))
    assert (one.state, one.env_steps, one.latest_return, one.attempt, one.processes, one.where) == ("running", 2500, 12.34, 2, 3, "node7")
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
        [sys.executable, "-m", "dima", "status", "--grid", "quikc"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert "quick" in result.stderr
