"""The benchmark of the hands in many worlds, at toy size and on the CPU: that it runs and writes what it
measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("mujoco_warp", reason="MuJoCo Warp is not installed: pip install -e '.[gpu]'")
from benchmarks.hand_worlds import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.remembered,
    pytest.mark.timeout(900),
]  # MuJoCo Warp compiles its kernels when they are first used


def test_a_toy_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "result.json"
    main(["--tasks", "pen", "--worlds", "2", "3", "--steps", "2", "--device", "cpu", "--json", str(path)])
    result = json.loads(path.read_text(encoding="utf-8"))
    assert set(result["versions"]) == {"mujoco", "mujoco-warp", "torch"}
    assert [(row["task"], row["worlds"], row["engine_worlds"]) for row in result["rows"]] == [
        ("pen", 2, 3),
        ("pen", 3, 3),
    ]
    assert all(row["warp"] > 0 and row["engine"] > 0 for row in result["rows"])
    assert len({row["engine"] for row in result["rows"]}) == 1
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in printed[1:]] == [["pen", "2"], ["pen", "3"]]
