"""What has a name is on the disk: a power cut leaves the old file or the new one, and a log of all that its
checkpoint has seen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from dima.cell.checkpoint import CONTENT, TENSORS, save_checkpoint
from dima.cell.run import Execution, run_cell
from dima.config.grid import CellKey
from dima.record.files import write_json


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is synced to the disk and what is renamed, by inode, in the order in which that happens."""
    found: list[tuple[str, int]] = []
    sync = os.fsync

    def synced(descriptor: int) -> None:
        found.append(("sync", os.fstat(descriptor).st_ino))
        sync(descriptor)

    def watch(name: str) -> None:
        rename = getattr(os, name)

        def renamed(source: Any, target: Any, **options: Any) -> None:
            found.append(("rename", os.stat(source).st_ino))
            rename(source, target, **options)

        monkeypatch.setattr(os, name, renamed)

    monkeypatch.setattr(os, "fsync", synced)
    watch("rename")
    watch("replace")
    return found


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, calls: list[tuple[str, int]]) -> None:
    write_json(tmp_path / "summary.json", {"n": 1})
    file = inode(tmp_path / "summary.json")
    assert calls == [("sync", file), ("rename", file), ("sync", inode(tmp_path))]


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, calls: list[tuple[str, int]]
) -> None:
    save_checkpoint(tmp_path, 7, {"n": 1, "tensor": torch.ones(2)})
    checkpoint = tmp_path / "000000000007"
    named = calls.index(("rename", inode(checkpoint)))
    files = (checkpoint / TENSORS, checkpoint / CONTENT, checkpoint)
    assert {("sync", inode(path)) for path in files} <= set(calls[:named])
    assert calls[named + 1 :] == [("sync", inode(tmp_path))]


def test_what_a_checkpoint_has_seen_is_on_the_disk(
    tiny: Any, tmp_path: Path, calls: list[tuple[str, int]]
) -> None:
    run_cell(
        tiny.resolve(CellKey("push-mass", "mappo", 1)),
        tmp_path / "cell",
        Execution(torch.device("cpu"), checkpoint_seconds=0),
    )
    log = ("sync", inode(tmp_path / "cell/events.jsonl"))
    names = [("rename", inode(path)) for path in (tmp_path / "cell/checkpoint").iterdir()]
    # the last ones: a checkpoint may have the inode of one that was removed
    first, second = sorted(max(place for place, call in enumerate(calls) if call == name) for name in names)
    assert log in calls[:first]
    assert log in calls[first:second]
