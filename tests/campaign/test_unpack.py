"""Records that are put back from archives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dima.campaign import unpack as unpacking
from dima.campaign.unpack import unpack
from dima.cell.lock import hold
from dima.errors import LockedError, UserError
from dima.record.archive import Cells, pack_cells

CELL, OTHER = "push-mass/dima/seed-1", "push-mass/mappo/seed-1"
RECORD = {
    name: f"{name} of a run\n".encode()
    for name in ("config.json", "events.jsonl", "provenance.json", "status.json", "summary.json")
}


@pytest.fixture
def packed(tmp_path: Path):
    """`packed({cell: files}, ...)`: an archive for each."""

    def write(*contents: Cells) -> list[Path]:
        paths = [tmp_path / f"trial.push-mass.{number}.tar.xz" for number, _ in enumerate(contents)]
        for path, cells in zip(paths, contents, strict=True):
            path.write_bytes(pack_cells("trial", cells))
        return paths

    return write


@pytest.fixture
def cells_dir(tmp_path: Path) -> Path:
    return tmp_path / "results/trial/cells"


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_cells_are_put_back_as_they_were_and_again_nothing_is_done(
    packed, tmp_path: Path, cells_dir: Path
) -> None:
    archives = packed({CELL: {**RECORD, "studies/frames.npz": b"pictures"}}, {OTHER: RECORD})
    assert unpack(archives, "trial", tmp_path / "results") == (2, 0)
    expected = {f"{cell}/{name}": content for cell in (CELL, OTHER) for name, content in RECORD.items()}
    assert files_below(cells_dir) == {**expected, f"{CELL}/studies/frames.npz": b"pictures"}
    assert [path.name for path in cells_dir.parent.iterdir()] == ["cells"]
    (cells_dir / CELL / "film.mp4").touch()
    before = {path: path.stat().st_mtime_ns for path in cells_dir.rglob("*")}
    assert unpack(archives, "trial", tmp_path / "results") == (0, 2)
    assert {path: path.stat().st_mtime_ns for path in cells_dir.rglob("*")} == before


def test_no_file_is_newer_than_another_and_frames_not_older_than_the_cell_whose_policy_acts(
    packed, tmp_path, cells_dir
) -> None:
    first, second = packed({OTHER: {**RECORD, "studies/frames.npz": b"pictures"}}, {CELL: RECORD})
    unpack([first], "trial", tmp_path / "results")
    assert len({path.stat().st_mtime_ns for path in (cells_dir / OTHER).rglob("*") if path.is_file()}) == 1
    for path in cells_dir.rglob("*"):
        os.utime(path, (10, 10))
    unpack([second], "trial", tmp_path / "results")
    frames, summary = cells_dir / OTHER / "studies/frames.npz", cells_dir / CELL / "summary.json"
    assert frames.stat().st_mtime_ns == summary.stat().st_mtime_ns
    assert (cells_dir / OTHER / "summary.json").stat().st_mtime == 10


def test_what_is_missing_of_a_cell_is_added(packed, tmp_path: Path, cells_dir: Path) -> None:
    (archive,) = packed({CELL: {**RECORD, "studies/orders.csv": b"order\n"}})
    folder = cells_dir / CELL
    (folder / "checkpoint").mkdir(parents=True)
    for name in ("config.json", "events.jsonl"):
        (folder / name).write_bytes(RECORD[name])
    (folder / "studies").mkdir()
    (folder / "studies/gain.csv").write_bytes(b"gain\n")  # made here, of the same run
    assert unpack([archive], "trial", tmp_path / "results") == (1, 0)
    assert (folder / "checkpoint").is_dir()
    found = files_below(folder)
    assert {name: found[name] for name in RECORD} == RECORD
    assert (found["studies/orders.csv"], found["studies/gain.csv"]) == (b"order\n", b"gain\n")


@pytest.mark.parametrize("name", ["events.jsonl", "studies/gain.csv", "completed.json"])
def test_another_record_of_a_cell_is_named_and_nothing_is_written(
    packed, tmp_path: Path, cells_dir: Path, name: str
) -> None:
    (archive,) = packed({OTHER: RECORD, CELL: {**RECORD, "studies/gain.csv": b"gain\n"}})
    path = cells_dir / CELL / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"of another run\n")
    with pytest.raises(UserError, match=f"{path} differs from the archive: nothing was written"):
        unpack([archive], "trial", tmp_path / "results")
    assert {place: content for place, content in files_below(cells_dir).items() if "lock" not in place} == {
        f"{CELL}/{name}": b"of another run\n"
    }


def test_a_link_in_the_place_of_a_record_is_refused(packed, tmp_path: Path, cells_dir: Path) -> None:
    (archive,) = packed({CELL: RECORD})
    (cells_dir / CELL).mkdir(parents=True)
    (cells_dir / CELL / "events.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="nothing was written"):
        unpack([archive], "trial", tmp_path / "results")
    assert not (tmp_path / "elsewhere").exists()


def test_archives_that_contradict_one_another_are_named(packed, tmp_path: Path) -> None:
    first, second = packed({CELL: RECORD}, {CELL: {**RECORD, "events.jsonl": b"of another run\n"}})
    with pytest.raises(
        UserError, match=rf"{first} and {second} hold different records of {CELL} \(events.jsonl\)"
    ):
        unpack([first, second], "trial", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_one_bad_archive_keeps_all_back(packed, tmp_path: Path) -> None:
    good, bad = packed({CELL: RECORD}, {OTHER: RECORD})
    bad.write_bytes(bad.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"{bad} is cut off"):
        unpack([good, bad], "trial", tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "begun", [{}, {"config.json": RECORD["config.json"]}, {**RECORD, "events.jsonl": b"longer\n"}]
)
def test_a_cell_that_is_trained_is_refused(
    packed, tmp_path: Path, cells_dir: Path, begun: dict[str, bytes]
) -> None:
    (archive,) = packed({OTHER: RECORD, CELL: {**RECORD, "completed.json": b"{}"}})
    (cells_dir / CELL).mkdir(parents=True)
    for name, content in begun.items():
        (cells_dir / CELL / name).write_bytes(content)
    with hold(cells_dir / CELL / "lock", wait=False):
        before = files_below(cells_dir)
        with pytest.raises(LockedError, match=f"{CELL} is being run by another process; nothing was done"):
            unpack([archive], "trial", tmp_path / "results")
        assert files_below(cells_dir) == before
        assert not (cells_dir / OTHER).exists()


def test_a_full_disk_leaves_everything_as_it_was(
    packed, tmp_path: Path, cells_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (archive,) = packed({CELL: RECORD, OTHER: RECORD})
    (cells_dir / CELL).mkdir(parents=True)
    (cells_dir / CELL / "events.jsonl").write_bytes(RECORD["events.jsonl"])
    write, written = unpacking._write, []

    def full(path: Path, content: bytes, now: float) -> None:
        written.append(path)
        if len(written) > 6:
            raise OSError(28, "No space left on device")
        write(path, content, now)

    monkeypatch.setattr(unpacking, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        unpack([archive], "trial", tmp_path / "results")
    assert files_below(tmp_path / "results/trial").keys() == {
        f"cells/{CELL}/events.jsonl",
        f"cells/{CELL}/lock",
    }


KILLED = """
import os, sys
from pathlib import Path
from dima.campaign import unpack
replace, left = Path.replace, [int(sys.argv[2])]

def killed(self, target):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), 9)
    return replace(self, target)

Path.replace = killed
unpack.unpack([Path(sys.argv[1])], "trial", Path("results"))
"""


@pytest.mark.parametrize("moves", [0, 3])
def test_after_a_kill_the_same_command_goes_on_and_the_summary_comes_last(
    packed, tmp_path: Path, cells_dir: Path, moves: int
) -> None:
    (archive,) = packed({CELL: RECORD})
    (cells_dir / CELL).mkdir(parents=True)
    command = [sys.executable, "-c", KILLED, archive, str(moves)]
    assert subprocess.run(command, cwd=tmp_path, check=False, timeout=60).returncode == -9
    assert len([path for path in (cells_dir / CELL).glob("*.json*")]) == moves
    assert not (cells_dir / CELL / "summary.json").exists()
    unpack([archive], "trial", tmp_path / "results")
    assert {
        name: content for name, content in files_below(cells_dir / CELL).items() if name != "lock"
    } == RECORD
