"""The benchmark of the environments at toy size: what it writes, and that it compares like with like."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import environments
from benchmarks.environments import RIVALS, Rival, Single, compare


def test_it_writes_a_row_for_every_rival(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = "--tasks ant-2x4 halfcheetah-3x2 --worlds 2 --steps 60 --pairs 2 --json found.json"
    environments.main(command.split())
    found = json.loads(Path("found.json").read_text(encoding="utf-8"))
    assert found.keys() == {"commit", "dirty", "hardware", "python", "versions", "processors", "rows"}
    assert {"gymnasium", "gymnasium-robotics", "mujoco", "numpy"} <= found["versions"].keys()
    paper = ["gymnasium, sync", "gymnasium, async", "HARL-style"]
    expected = [("ant-2x4", name) for name in [*paper, "gymnasium-robotics"]] + [
        ("halfcheetah-3x2", name) for name in paper
    ]
    assert [(row["task"], row["rival"]) for row in found["rows"]] == expected
    for row in found["rows"]:
        assert (row["worlds"], row["steps"], row["pairs"]) == (2, 30, 2)
        assert 0 < row["min"] <= row["median"] <= row["max"]
    assert capsys.readouterr().out.count("\n") == 2 + len(expected)
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_every_rival_gives_our_observations_for_whole_episodes(rival: Rival) -> None:
    compare(rival.tasks[0], rival, worlds=2, steps=150, pairs=1)
    compare("walker2d-2x3", rival, worlds=2, steps=60, pairs=1)


def test_another_task_is_no_rival() -> None:
    class Unscaled(Single):
        def step(self, actions: np.ndarray) -> np.ndarray:
            return 2 * super().step(actions)

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare("halfcheetah-2x3", Rival("unscaled", "paper", Unscaled), worlds=1, steps=1, pairs=1)
