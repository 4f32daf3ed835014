"""Start or find the process that holds Isaac Gym, and ask it without ever hanging."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from envs.interface import EngineError
from envs.isaac_bridge.protocol import Channel, Message, ProtocolError
from envs.retry import tried_again

COMMAND_VARIABLE = "DIMA_ISAACGYM_COMMAND"
SOCKET_VARIABLE = "DIMA_ISAACGYM_SOCKET"
SERVER = Path(__file__).with_name("server.py")
CONNECT_SECONDS = 300.0  # a container may have to be unpacked first
OPEN_SECONDS = 1800.0  # convex decomposition of the doors, kernels compiled for a new GPU
STEP_SECONDS = 300.0
CLOSE_SECONDS = 10.0
LOG_BYTES = 1 << 16  # read from the end of its output


class IsaacGymError(EngineError):
    """The process that holds Isaac Gym could not be started, refused, died or did not answer."""


class Server:
    """One server and the connection to it; the server ends with this object or this process."""

    def __init__(self) -> None:
        """Raises IsaacGymError if no server starts or answers."""
        self._process: subprocess.Popen[bytes] | None = None
        # without a name: it vanishes even if this process is killed
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115 (closed by _release)
        try:
            self._channel = Channel(
                _join(os.environ[SOCKET_VARIABLE]) if os.environ.get(SOCKET_VARIABLE) else self._begin()
            )
        except BaseException:
            _release(None, self._process, self._log)
            raise
        self._release = weakref.finalize(self, _release, self._channel, self._process, self._log)

    def ask(
        self, kind: str, fields: dict[str, Any], arrays: dict[str, np.ndarray], answer: str, seconds: float
    ) -> Message:
        """Send one message and wait for its answer. Raises IsaacGymError, after which the server is gone."""
        if not self._release.alive:
            raise IsaacGymError("the connection to Isaac Gym is closed")
        try:
            self._channel.send(kind, fields, arrays, timeout=seconds)
            message = self._channel.receive(timeout=seconds)
        except ProtocolError as error:
            words = self._last_words()
            self.close()
            raise IsaacGymError(f"Isaac Gym's process is lost: {error}{words}") from error
        except BaseException:
            self.close()  # half an answer may be left in the socket
            raise
        if message.kind == answer:
            return message
        self.close()
        raise IsaacGymError(
            f"Isaac Gym's process refused: {message.fields.get('message', f'it answered {message.kind!r}')}"
        )

    def close(self) -> None:
        """Hang up, which ends the server, and make sure that its process is gone."""
        self._release()

    def _begin(self) -> socket.socket:
        """Start the process and wait until it connects."""
        with (
            tempfile.TemporaryDirectory(prefix="dima-isaacgym-") as folder,
            _listen(Path(folder, "socket")) as listener,
        ):
            process = self._process = _start(os.environ[COMMAND_VARIABLE], Path(folder, "socket"), self._log)
            deadline = time.monotonic() + CONNECT_SECONDS
            listener.settimeout(0.2)
            while time.monotonic() < deadline:
                with suppress(TimeoutError):
                    return listener.accept()[0]
                if process.poll() is not None:
                    ended = f"ended with status {process.returncode} at once{self._last_words()}"
                    raise IsaacGymError(f"the command in {COMMAND_VARIABLE} {ended}")
        silent = f"did not connect within {CONNECT_SECONDS:.0f} s{self._last_words()}"
        raise IsaacGymError(f"the command in {COMMAND_VARIABLE} {silent}")

    def _last_words(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), LOG_BYTES, max(0, size - LOG_BYTES)).decode(
            "utf-8", errors="replace"
        )
        spoken = [line.strip() for line in text.splitlines() if line.strip()]
        return f"; its last words were: {spoken[-1]}" if spoken else ""


def is_configured() -> bool:
    """Whether one of the two variables is set."""
    return bool(os.environ.get(COMMAND_VARIABLE) or os.environ.get(SOCKET_VARIABLE))


def _start(command: str, path: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        words = [*shlex.split(command), str(SERVER), "--connect", str(path)]
    except ValueError as error:
        raise IsaacGymError(f"the command in {COMMAND_VARIABLE} cannot be read: {error}") from error
    try:
        # In a session of its own, so that an interrupt at the keyboard reaches this side first.
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    except OSError as error:
        raise IsaacGymError(f"the command in {COMMAND_VARIABLE} cannot be started: {error}") from error


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise IsaacGymError(
            f"no socket can be made at {path} ({error}): set TMPDIR to a short path on a local disk"
        ) from error
    listener.listen(1)
    return listener


def _join(path: str) -> socket.socket:
    """A connection to the server on the socket; retries while it may still be starting."""
    try:
        return tried_again(lambda: _connect(path), lambda error: isinstance(error, OSError))
    except OSError as error:
        raise IsaacGymError(
            f"no server waits on {path}, named in {SOCKET_VARIABLE}; each serves one environment: {error}"
        ) from error


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _release(channel: Channel | None, process: subprocess.Popen[bytes] | None, log: IO[bytes]) -> None:
    if channel is not None:
        with suppress(ProtocolError):
            channel.send("close", timeout=1.0)
        channel.close()
    if process is not None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(CLOSE_SECONDS if channel is not None else 0)
        for kind in (signal.SIGTERM, signal.SIGKILL):
            # The whole group: a container's runtime may have left the server behind.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, kind)
            with suppress(subprocess.TimeoutExpired):
                process.wait(CLOSE_SECONDS)
    log.close()
