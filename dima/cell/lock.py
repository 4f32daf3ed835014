"""The lock of a cell: one process at a time works on it, on any machine.

The kernel's lock (`flock`) excludes other processes of the machine, and of other machines where the file
system supports that; it ends with its process, however that ends. Where the file system does not, the lease
in the locked file decides: its holder renews it, and one of another machine that is not renewed expires.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from dima.errors import LockedError


class Times(NamedTuple):
    """Seconds between renewals of a lease, until one of another machine expires, and between tries."""

    renewal: float = 20.0
    stale: float = 180.0
    retry: float = 2.0


class Lease:
    """The hold on a cell, while it lasts."""

    def __init__(self, file: IO[str], path: Path, times: Times) -> None:
        self._file, self._path, self._times = file, path, times
        self._holder = {
            "host": platform.node(),
            "process": os.getpid(),
            "job": os.environ.get("SLURM_JOB_ID"),
            "since": time.time(),
        }
        self._over = threading.Event()
        self._write(json.dumps(self._holder))
        self._renewing = threading.Thread(target=self._renew, daemon=True, name="lease")

    def refuse_if_lost(self) -> None:
        """Raise LockedError if another machine took the lease over, as it may after a long suspension."""
        with suppress(OSError):  # where the file system does not answer, the lease is not lost
            if _read(self._path) != self._holder:
                cell = self._path.parent
                raise LockedError(
                    f"{cell} was taken over by another process while this one was suspended; it stops here."
                )

    def start(self) -> None:
        """Renew the lease from now on."""
        self._renewing.start()

    def end(self) -> None:
        """Give the lease back."""
        self._over.set()
        self._renewing.join()
        if _read(self._path) == self._holder:
            self._write("")

    def _renew(self) -> None:
        while not self._over.wait(self._times.renewal):
            with suppress(OSError):
                os.utime(self._file.fileno())

    def _write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def hold(
    path: Path,
    *,
    wait: bool,
    unwanted: Callable[[], bool] = lambda: False,
    times: Times = Times(),  # noqa: B008
) -> Iterator[Lease]:
    """Hold the lock file at `path`, which is not removed.

    Args:
        path: in the cell's folder.
        wait: until its holder ends or its lease expires, instead of refusing at once.
        unwanted: whether to stop waiting.
        times: of leases.

    Raises:
        LockedError: another process holds it, and this one does not wait, or stopped waiting.
    """
    waits = False
    while (file := _take(path, times)) is None:
        if not wait or unwanted():
            raise LockedError(f"{path.parent} is being run by another process; nothing was done.")
        if not waits:
            print(
                f"{path.parent} is being run by another process{_described(path)}; waiting for it.",
                flush=True,
            )
            waits = True
        time.sleep(times.retry)
    with file:
        lease = Lease(file, path, times)
        lease.refuse_if_lost()
        lease.start()
        try:
            yield lease
        finally:
            lease.end()


def is_held(path: Path, times: Times = Times()) -> bool:  # noqa: B008
    """Whether a process holds the lock file at `path`.

    Writes nothing, so that it works for a folder that cannot be written to.
    """
    try:
        file = path.open(encoding="utf-8")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    holder = _read(path)
    return (
        bool(holder)
        and holder.get("host") != platform.node()
        and time.time() - path.stat().st_mtime < times.stale
    )


def _take(path: Path, times: Times) -> IO[str] | None:
    """The locked file, or None where another process holds it."""
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    holder = _read(path)
    if holder and holder.get("host") != platform.node() and _age(path) < times.stale:
        file.close()
        return None
    return file


def _age(path: Path) -> float:
    """Seconds since the lease was renewed, both times by the clock of the machine that keeps the files."""
    now = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}")
    now.touch()
    try:
        return now.stat().st_mtime - path.stat().st_mtime
    finally:
        now.unlink()


def _read(path: Path) -> dict[str, object] | None:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return holder if isinstance(holder, dict) else None


def _described(path: Path) -> str:
    holder = _read(path)
    if holder is None:
        return ""
    job = f", Slurm job {holder['job']}" if holder.get("job") else ""
    return f" (process {holder.get('process')} on {holder.get('host')}{job})"
