"""Which cards there are, how much of one a cell takes, and that no card is given out twice: with a stand-in
for `nvidia-smi`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CONFIG, ROOT

from dima.campaign.cards import percent_of_a_card
from dima.campaign.speed import Speeds, SpeedTable, read_speeds
from dima.cell import cards as module
from dima.cell.cards import (
    VISIBLE,
    Card,
    find_cards,
    part_of_a_card,
    take_card,
)
from dima.config.grid import CellKey, plain_grid

TWO = "GPU-aa, 0, 81559, Big One\nGPU-bb, 1, 24564, Small One, of a kind\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`machine(text, status)`: this machine's `nvidia-smi` says that."""

    def make(text: str, status: int = 0) -> dict[str, str]:
        (tmp_path / "said").write_text(text)
        (tmp_path / "nvidia-smi").write_text(f'#!/bin/sh\ncat "{tmp_path}/said"\nexit {status}\n')
        (tmp_path / "nvidia-smi").chmod(0o755)
        return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    return make


def test_cards_are_those_that_are_not_hidden_in_their_order(machine) -> None:
    one, two = Card("GPU-aa", 81559, "Big One"), Card("GPU-bb", 24564, "Small One, of a kind")
    environ = machine(TWO)
    assert find_cards(environ) == [one, two]
    for visible, found in (
        ("1", [two]),
        ("1,0", [two, one]),
        ("GPU-a", [one]),
        ("", []),
        ("7", []),
        ("NoDevFiles", []),
    ):
        assert find_cards(environ | {VISIBLE: visible}) == found


@pytest.mark.parametrize(
    ("text", "status"),
    [("", 0), ("No devices were found\n", 0), ("NVIDIA-SMI has failed, since, of, this\n", 9)],
)
def test_without_an_answer_there_are_no_cards(machine, text: str, status: int) -> None:
    assert find_cards(machine(text, status)) == []


def test_without_the_tool_there_are_none(tmp_path: Path) -> None:
    assert find_cards({"PATH": str(tmp_path)}) == []


def test_a_cell_takes_what_was_measured_and_cudas_own_or_a_whole_card() -> None:
    """2.5 and 1 GB of 25.757 and 8.590 GB are 13.6 and 40.7 %; of a method whose preset differs, and
    elsewhere, nothing is known."""
    grid = plain_grid(["halfcheetah-2x3", "halfcheetah-6x1", "pen"], ["dima", "dima-fast"], config_dir=CONFIG)
    table = read_speeds(ROOT / "workflow/reference")
    row = next(
        speed
        for speed in table.speeds
        if (speed.method, speed.compute, speed.device) == ("dima", "fast", "GPU")
    )
    speeds = Speeds(
        grid,
        SpeedTable(episode_steps=table.episode_steps, speeds=(row.model_copy(update={"gigabytes": 2.5}),)),
    )
    big, small = Card("GPU-aa", 24564), Card("GPU-bb", 8192)

    def percent(task: str, method: str, *cards: Card) -> int:
        return percent_of_a_card(speeds, CellKey(task, method, 1), cards)

    assert percent("halfcheetah-2x3", "dima-fast", big) == percent("halfcheetah-6x1", "dima-fast", big) == 14
    assert percent("halfcheetah-2x3", "dima-fast", big, small) == 41
    assert percent("halfcheetah-2x3", "dima-fast", Card("GPU-cc", 2048)) == 100
    assert percent("halfcheetah-2x3", "dima", big) == percent("pen", "dima-fast", big) == 100


CLAIM = """import sys
from pathlib import Path
from dima.cell.cards import part_of_a_card
print(part_of_a_card(["aa", "bb"], int(sys.argv[2]), Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_processes_are_spread_over_the_cards_and_none_gets_what_another_has(tmp_path: Path) -> None:
    processes: list[subprocess.Popen[str]] = []

    def claims(percent: int) -> str:
        command = [sys.executable, "-c", CLAIM, str(tmp_path), str(percent)]
        processes.append(
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert processes[-1].stdout is not None
        return processes[-1].stdout.readline().strip()

    try:
        assert [claims(40) for _ in range(5)] == ["aa", "bb", "aa", "bb", "None"]
        assert [claims(20), claims(21)] == ["aa", "None"]
        processes[1].kill()
        processes[1].wait()
        assert [claims(60), claims(40)] == ["None", "bb"]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert part_of_a_card(["aa"], 100, tmp_path) == "aa"


def test_a_cell_waits_for_room_and_then_sees_its_card_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    answers, asked = iter([None, None, "GPU-bb"]), []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(
        module, "part_of_a_card", lambda *arguments: (asked.append(arguments), next(answers))[1]
    )
    monkeypatch.setenv(VISIBLE, "0,1")
    take_card([], 40)
    assert (os.environ[VISIBLE], asked) == ("0,1", [])
    take_card(["GPU-aa", "GPU-bb"], 40)
    assert os.environ[VISIBLE] == "GPU-bb"
    assert asked == [(["GPU-aa", "GPU-bb"], 40, tmp_path / f"dima-cards-{os.getuid()}")] * 3
    assert capsys.readouterr().out == "Waiting for room for 40 % of a GPU: other cells hold them.\n"
