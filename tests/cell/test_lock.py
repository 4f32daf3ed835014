"""The lock of a cell: leases of other machines, where the kernel's lock does not reach."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

from dima.cell.lock import Times, hold, is_held
from dima.errors import LockedError

QUICK = Times(renewal=0.05, stale=1.0, retry=0.05)
ELSEWHERE = json.dumps({"host": "another-machine", "process": 7, "job": "41", "since": 0.0})


def test_a_lease_of_another_machine_is_respected_while_it_is_renewed(tmp_path):
    path = tmp_path / "lock"
    path.write_text(ELSEWHERE)
    with (
        pytest.raises(LockedError, match="being run by another process; nothing was done"),
        hold(path, wait=False, times=QUICK),
    ):
        pytest.fail("two processes hold the cell")
    assert path.read_text() == ELSEWHERE


def test_a_lease_of_a_dead_machine_is_taken_over_when_it_has_not_been_renewed(tmp_path, capsys):
    path = tmp_path / "lock"
    path.write_text(ELSEWHERE)
    renewing = threading.Event()

    def renew():
        while not renewing.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=renew)
    thread.start()
    threading.Timer(0.6, renewing.set).start()
    began = time.monotonic()
    with hold(path, wait=True, times=QUICK):
        assert 1.5 < time.monotonic() - began < 20
        assert json.loads(path.read_text())["process"] == os.getpid()
    thread.join()
    assert "(process 7 on another-machine, Slurm job 41); waiting for it." in capsys.readouterr().out
    assert path.read_text() == ""


def test_a_lease_is_renewed_while_it_is_held(tmp_path):
    path = tmp_path / "lock"
    with hold(path, wait=False, times=QUICK):
        os.utime(path, (0, 0))
        time.sleep(0.5)
        assert path.stat().st_mtime > 0


def test_who_was_taken_for_dead_stops(tmp_path):
    path = tmp_path / "lock"
    with hold(path, wait=False, times=QUICK) as lease:
        lease.refuse_if_lost()
        path.write_text(ELSEWHERE)
        with pytest.raises(LockedError, match="taken over by another process"):
            lease.refuse_if_lost()
    assert path.read_text() == ELSEWHERE


def test_waiting_can_be_given_up(tmp_path):
    path = tmp_path / "lock"
    path.write_text(ELSEWHERE)
    moment = time.monotonic() + 0.3
    with (
        pytest.raises(LockedError),
        hold(path, wait=True, unwanted=lambda: time.monotonic() > moment, times=QUICK),
    ):
        pytest.fail("the lease is fresh")


def test_who_holds_it_is_told_apart_on_one_machine(tmp_path):
    path = tmp_path / "lock"
    with hold(path, wait=False, times=QUICK), pytest.raises(LockedError), hold(path, wait=False, times=QUICK):
        pytest.fail("two hold the cell")
    path.write_text(json.dumps({"host": os.uname().nodename, "process": 7, "job": None, "since": 0.0}))
    with hold(path, wait=False, times=QUICK):
        pass  # a fresh lease of this machine whose process does not hold the kernel's lock: it was killed


def test_whether_it_is_held_is_told_without_writing(tmp_path):
    path = tmp_path / "lock"
    assert not is_held(path)
    assert not path.exists()
    with hold(path, wait=False, times=QUICK):
        assert is_held(path)
    assert not is_held(path)  # left behind empty
    path.write_text(ELSEWHERE)
    assert is_held(path, QUICK)
    os.utime(path, (time.time() - 5, time.time() - 5))
    assert not is_held(path, QUICK)
    path.write_text(json.dumps({"host": os.uname().nodename, "process": 7, "job": None, "since": 0.0}))
    assert not is_held(path, QUICK)  # of a process of this machine that was killed
    assert [entry.name for entry in tmp_path.iterdir()] == ["lock"]
