"""One process at a time works on a cell, on whichever machine.

The kernel's lock (`flock`) tells processes of one machine apart, and of several where the file system passes
it on; it ends with its process, however that ends. Where it is not passed on, the lease in the locked file
does: who holds it renews it, and a lease of another machine that is not renewed is that of a machine that
died.
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
    """Seconds: between two renewals of a lease, until one of another machine counts as left behind, between
    two tries of who waits.
    """

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
        """Raise LockedError where another machine took this process for dead, as it may after a long
        suspension: it must not go on.
        """
        with suppress(OSError):  # a file system that does not answer takes the lease from nobody
            if _read(self._path) != self._holder:
                raise LockedError(
                    f"{self._path.parent} was taken over by another process while this one stood still; it stops here."
                )

    def start(self) -> None:
        """Renew from here on."""
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
    """Hold the lock file at `path`, which stays where it is.

    Args:
        path: in the cell's folder.
        wait: for who holds it, until it ends or dies; otherwise refuse at once.
        unwanted: asked while waiting; true: give up.
        times: of leases.

    Raises:
        LockedError: another process holds it, and waiting was not asked for or given up.
    """
    told = False
    while (file := _take(path, times)) is None:
        if not wait or unwanted():
            raise LockedError(f"{path.parent} is being run by another process; nothing was done.")
        if not told:
            print(
                f"{path.parent} is being run by another process{_described(path)}; waiting for it.",
                flush=True,
            )
            told = True
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

    Writes nothing, so that it may be asked of a folder that cannot be written to.
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
