"""Estimates against numbers worked out by hand, and what is shown."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from dima.campaign.progress import Bars, Lines, PlannedCell, Progress, Snapshot, duration
from dima.config.grid import CellKey
from dima.record.cell_state import RunState, Status

FAST = [
    PlannedCell("quick", CellKey("push-mass", "dima", seed), Path(f"fast-{seed}"), 1000) for seed in (1, 2, 3)
]
SLOW = [PlannedCell("quick", CellKey("walk", "mappo", seed), Path(f"slow-{seed}"), 2000) for seed in (1, 2)]


def status(
    state: RunState,
    env_steps: int,
    wall_seconds: float,
    latest_return: float | None = None,
    message: str | None = None,
) -> Status:
    return Status(
        state=state,
        env_steps=env_steps,
        wall_seconds=wall_seconds,
        latest_return=latest_return,
        message=message,
    )


def test_each_cell_goes_on_at_its_own_speed_and_waiting_ones_at_that_of_their_like() -> None:
    statuses = {
        FAST[0]: status("completed", 1000, 100),
        FAST[1]: status("running", 250, 75),
        SLOW[0]: status("running", 500, 1000),
    }
    snapshot = Snapshot([*FAST, *SLOW], statuses, parallel=2)
    left = [snapshot.seconds_left(cell) for cell in snapshot.cells]
    # 0.3 s a step for 750 more; the mean of 100 s and 300 s; 2 s a step for 1500 more; 4000 s as the other
    assert left == pytest.approx([0, 225, 200, 3000, 4000])
    assert snapshot.total_seconds_left() == pytest.approx(
        4000
    )  # the longest; the sum over two cores is 3712.5
    assert snapshot.total_fraction() == pytest.approx((1 + 0.25 + 0 + 0.25 + 0) / 5)


def test_the_longest_cell_bounds_the_time_left() -> None:
    statuses = {FAST[0]: status("running", 500, 50), SLOW[0]: status("running", 200, 90)}
    snapshot = Snapshot([FAST[0], SLOW[0]], statuses, parallel=2)
    assert snapshot.total_seconds_left() == pytest.approx(810)  # not (50 + 810) / 2


def test_many_cells_share_the_cores() -> None:
    snapshot = Snapshot(FAST, {FAST[0]: status("running", 500, 50)}, parallel=2)
    assert snapshot.total_seconds_left() == pytest.approx((50 + 100 + 100) / 2)


def test_a_kind_not_seen_yet_takes_the_mean_of_all() -> None:
    snapshot = Snapshot(
        [*FAST[:2], SLOW[0]],
        {FAST[0]: status("running", 500, 50), FAST[1]: status("running", 100, 30)},
        parallel=1,
    )
    assert snapshot.seconds_left(SLOW[0]) == pytest.approx((100 + 300) / 2)


def test_nothing_is_claimed_before_the_first_step() -> None:
    snapshot = Snapshot(FAST, {FAST[0]: status("running", 0, 3.0)}, parallel=2)
    assert snapshot.seconds_left(FAST[0]) is None
    assert snapshot.total_seconds_left() is None


def test_a_failed_cell_needs_no_more_time_and_is_not_done() -> None:
    snapshot = Snapshot(FAST[:1], {FAST[0]: status("diverged", 400, 40)}, parallel=1)
    assert snapshot.seconds_left(FAST[0]) == 0
    assert snapshot.total_fraction() == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"),
        (0, "0 s"),
        (89, "89 s"),
        (91, "2 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (180_000, "2.1 d"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_lines_are_printed_when_a_return_changes_or_a_cell_ends_and_then_only() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    running = Snapshot(FAST[:2], {FAST[0]: status("running", 250, 25, 3.14)}, parallel=1)
    further = Snapshot(FAST[:2], {FAST[0]: status("running", 300, 30, 3.14)}, parallel=1)
    failed = Snapshot(
        FAST[:2], {FAST[0]: status("diverged", 400, 40, 3.14, "the loss is not finite")}, parallel=1
    )
    for snapshot in (running, running, further, failed):
        lines.show(snapshot)
    lines.close(failed)
    lines.close(failed)  # a total that is no news
    assert stream.getvalue().splitlines() == [
        "quick/push-mass/dima/seed-1: 25%, 75 s left, return 3.1",
        "quick/push-mass/dima/seed-1: 40%, return 3.1, diverged: the loss is not finite",
        "0 of 2 cells done, 1 failed: 20%, 2 min left",
    ]


def test_the_whole_run_gets_a_line_at_most_every_thirty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, now = io.StringIO(), 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lines = Lines(stream)
    for now, steps in ((0.0, 10), (29.0, 20), (31.0, 100), (59.0, 200), (62.0, 300), (93.0, 300)):
        lines.show(Snapshot(FAST[:1], {FAST[0]: status("running", steps, now, None)}, parallel=1))
    shares = [line.split(":")[1].split(",")[0].strip() for line in stream.getvalue().splitlines()]
    assert shares == ["10%", "30%", "30%"]  # the time left is news, too
    now = 124.0
    lines.show(Snapshot(FAST[:1], {FAST[0]: status("running", 300, 93.0, None)}, parallel=1))
    assert len(stream.getvalue().splitlines()) == 3


def test_bars_show_the_run_and_the_cells_that_train() -> None:
    stream = io.StringIO()
    bars = Bars(Console(file=stream, force_terminal=True, width=120, color_system=None))
    statuses = {FAST[0]: status("completed", 1000, 100, 9.0), FAST[1]: status("running", 250, 75, -2.0)}
    bars.close(Snapshot(FAST, statuses, parallel=2))
    run, cell = [line for line in stream.getvalue().splitlines() if "%" in line][-2:]
    assert [text in run for text in ("1 of 3 cells done", "42%", "4 min left")] == [True] * 3
    assert [text in cell for text in ("quick/push-mass/dima/seed-2", "25%", "4 min left", "return -2.0")] == [
        True
    ] * 4
    assert not any(f"seed-{seed}" in stream.getvalue() for seed in (1, 3))  # one has ended, one waits


def write_status(folder: Path, updated: float) -> None:
    values = {
        "state": "running",
        "env_steps": 500,
        "budget": 1000,
        "latest_return": 1.5,
        "wall_seconds": 50.0,
        "message": None,
    }
    (folder / "status.json").write_text(
        json.dumps({**values, "updated": updated, "process": 1, "host": "here", "attempt": 1})
    )


def test_the_status_of_an_earlier_run_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress()
    write_status(tmp_path, updated=time.time() - 1)
    progress.start([FAST[0]._replace(folder=tmp_path)], parallel=4)
    progress.stop()
    assert capsys.readouterr().err.splitlines() == ["0 of 1 cells done: 0%"]


def test_progress_reads_the_cells_until_it_is_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress()
    progress.start([FAST[0]._replace(folder=tmp_path)], parallel=4)
    write_status(tmp_path, updated=time.time() + 1)
    progress.stop()
    assert capsys.readouterr().err.splitlines() == [
        "quick/push-mass/dima/seed-1: 50%, 50 s left, return 1.5",
        "0 of 1 cells done: 50%, 50 s left",
    ]


def test_progress_without_cells_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    progress.start([], parallel=2)
    progress.stop()
    assert capsys.readouterr().err == ""
