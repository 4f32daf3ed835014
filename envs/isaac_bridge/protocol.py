"""Frames over a local socket; the same file on both sides, also in Isaac Gym's Python 3.8.

A frame is `DIMA`, the version (u16), the length of the header (u32), the header in JSON, and the arrays one
after another in the header's order, raw and little-endian. Nothing in it is executed or unpickled.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any, NamedTuple

import numpy as np

VERSION = 1
MAGIC = b"DIMA"
PREFIX = struct.Struct("<4sHI")
HEADER_LIMIT = 1 << 20
ARRAY_LIMIT = 1 << 30
DTYPES = {"f4": np.dtype("<f4"), "i8": np.dtype("<i8"), "b1": np.dtype("|b1")}


class ProtocolError(RuntimeError):
    """The other side does not use this protocol or does not answer; the connection is unusable."""


class PeerLostError(ProtocolError):
    """The other side is gone."""


class Message(NamedTuple):
    """One frame: what it is, its scalars and its arrays by name."""

    kind: str
    fields: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Channel:
    """Messages over a connected socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(
        self,
        kind: str,
        fields: dict[str, Any] | None = None,
        arrays: dict[str, np.ndarray] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Send one frame. Raises PeerLostError, and ProtocolError after `timeout` seconds (None: never)."""
        self._connection.settimeout(timeout)
        try:
            self._connection.sendall(encode(Message(kind, fields or {}, arrays or {})))
        except socket.timeout as error:
            raise ProtocolError(f"the other side took no message within {timeout} s") from error
        except OSError as error:
            raise PeerLostError(f"the other side is gone ({error})") from error

    def receive(self, timeout: float | None = None) -> Message:
        """Wait for one frame, at most `timeout` seconds (None: forever).

        Raises PeerLostError, and ProtocolError for foreign bytes or after the timeout.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        magic, version, length = PREFIX.unpack(self._read(PREFIX.size, deadline, "between two messages"))
        if magic != MAGIC:
            raise ProtocolError(
                f"the other side does not speak the bridge's protocol: a message begins with {bytes(magic)!r}"
            )
        if version != VERSION:
            versions = f"version {version} of the bridge's protocol, this side version {VERSION}"
            raise ProtocolError(f"the other side uses {versions}")
        if length > HEADER_LIMIT:
            raise ProtocolError(
                f"a message announces a header of {length} bytes, at most {HEADER_LIMIT} are taken"
            )
        kind, fields, layout = _decode_header(self._read(length, deadline))
        arrays = {}
        for name, dtype, shape in layout:
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            arrays[name] = _to_array(self._read(size, deadline), dtype, shape)
        return Message(kind, fields, arrays)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _read(
        self, size: int, deadline: float | None, where: str = "in the middle of a message"
    ) -> bytearray:
        buffer = bytearray(size)
        view, filled = memoryview(buffer), 0
        while filled < size:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise ProtocolError("the other side did not answer in time")
            self._connection.settimeout(left)
            try:
                count = self._connection.recv_into(view[filled:])
            except socket.timeout as error:
                raise ProtocolError("the other side did not answer in time") from error
            except OSError as error:
                raise PeerLostError(f"the other side is gone ({error})") from error
            if count == 0:
                raise PeerLostError(
                    f"the other side hung up {'in the middle of a message' if filled else where}"
                )
            filled += count
        return buffer


def encode(message: Message) -> bytes:
    """The frame of a message; arrays become float32, int64 or bool."""
    layout, parts = [], []
    for name, array in message.arrays.items():
        code = {"f": "f4", "i": "i8", "b": "b1"}[array.dtype.kind]
        layout.append([name, code, list(array.shape)])
        parts.append(np.ascontiguousarray(array, dtype=DTYPES[code]).tobytes())
    header = json.dumps(
        {"kind": message.kind, "fields": message.fields, "arrays": layout}, allow_nan=False
    ).encode("utf-8")
    return b"".join([PREFIX.pack(MAGIC, VERSION, len(header)), header, *parts])


def _decode_header(header: bytearray) -> tuple[str, dict[str, Any], list[tuple[str, np.dtype, list[int]]]]:
    try:
        content = json.loads(bytes(header).decode("utf-8"))
        kind, fields = content["kind"], content["fields"]
        layout = [
            (str(name), DTYPES[code], [int(size) for size in shape])
            for name, code, shape in content["arrays"]
        ]
        sizes = [np.prod(shape, dtype=float) * dtype.itemsize for _, dtype, shape in layout]
        sound = (
            isinstance(kind, str)
            and isinstance(fields, dict)
            and all(0 <= size <= ARRAY_LIMIT for size in sizes)
        )
        sound = sound and all(length >= 0 for _, _, shape in layout for length in shape)
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError(f"a message has a header that cannot be read ({error!r})") from error
    if not sound:
        raise ProtocolError("a message has a header that makes no sense")
    return kind, fields, layout


def _to_array(content: bytearray, dtype: np.dtype, shape: list[int]) -> np.ndarray:
    if dtype.kind == "b":
        return (np.frombuffer(content, dtype=np.uint8) != 0).reshape(shape)
    return np.frombuffer(content, dtype=dtype).reshape(shape)
