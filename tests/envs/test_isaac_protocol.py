"""The frames between the two processes, byte by byte, and what is left of them in bad company."""

from __future__ import annotations

import ast
import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from envs.isaac_bridge import protocol
from envs.isaac_bridge.protocol import Channel, Message, PeerLostError, ProtocolError

BRIDGE = Path(protocol.__file__).parent
FOR_PYTHON_38 = ("probe", "protocol", "server", "simulation")
ALLOWED = {
    *(
        "__future__",
        "argparse",
        "importlib",
        "importlib.metadata",
        "json",
        "os",
        "pathlib",
        "random",
        "socket",
        "struct",
        "sys",
        "time",
    ),
    *("types", "typing", "numpy", *FOR_PYTHON_38),
}


@pytest.fixture
def pair() -> Iterator[tuple[Channel, socket.socket]]:
    """A channel and the bare socket at its other end."""
    ours, theirs = socket.socketpair()
    yield Channel(ours), theirs
    ours.close()
    theirs.close()


def frame(header: object, rest: bytes = b"", version: int = 1, magic: bytes = b"DIMA") -> bytes:
    text = json.dumps(header).encode()
    return magic + struct.pack("<HI", version, len(text)) + text + rest


def test_a_frame_is_what_the_docstring_says() -> None:
    sent = protocol.encode(
        Message(
            "step",
            {"a": 1},
            {"x": np.array([[1.0], [-2.0]]), "y": np.array([True, False]), "z": np.array([3])},
        )
    )
    header = {
        "kind": "step",
        "fields": {"a": 1},
        "arrays": [["x", "f4", [2, 1]], ["y", "b1", [2]], ["z", "i8", [1]]],
    }
    assert sent == frame(header, struct.pack("<ff??q", 1.0, -2.0, True, False, 3))


def test_arrays_arrive_as_they_left(pair: tuple[Channel, socket.socket]) -> None:
    channel, other = pair
    random = np.random.default_rng(0)
    arrays = {
        "large": random.normal(size=(300, 2, 421)).astype(np.float32),
        "counts": random.integers(-(2**62), 2**62, 7),
        "flags": random.random(9) > 0.5,
        "nothing": np.zeros((0, 3), dtype=np.float32),
        "big-endian": np.arange(3, dtype=">f4"),
        "not contiguous": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    }
    sender = threading.Thread(target=Channel(other).send, args=("stepped", {"pen": "ünï"}, arrays))
    sender.start()
    message = channel.receive(timeout=10)
    sender.join()
    assert (message.kind, message.fields) == ("stepped", {"pen": "ünï"})
    assert list(message.arrays) == list(arrays)
    for name, array in arrays.items():
        assert_array_equal(message.arrays[name], array)
        assert message.arrays[name].dtype == array.dtype.newbyteorder("=")
        message.arrays[name][...] = 0  # it is the receiver's own


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"HTTP/1.1 400 Bad Request\r\n",
            "does not speak the bridge's protocol: a message begins with b'HTTP'",
        ),
        (frame({}, version=2), "uses version 2 of the bridge's protocol, this side version 1"),
        (b"DIMA" + struct.pack("<HI", 1, 2**31), "announces a header of 2147483648 bytes"),
        (b"DIMA" + struct.pack("<HI", 1, 3) + b"{]}", "cannot be read"),
        (b"DIMA" + struct.pack("<HI", 1, 2) + b"\xff\xfe", "cannot be read"),
        (frame([1]), "cannot be read"),
        (frame({"kind": "step", "fields": {}}), "cannot be read"),
        (frame({"kind": "step", "fields": {}, "arrays": [["x", "O", [1]]]}), "cannot be read"),
        (frame({"kind": "step", "fields": {}, "arrays": [["x", "f4", 3]]}), "cannot be read"),
        (frame({"kind": "step", "fields": {}, "arrays": [["x", "f4", [-1, -1]]]}), "makes no sense"),
        (frame({"kind": "step", "fields": {}, "arrays": [["x", "f4", [2**20, 2**20]]]}), "makes no sense"),
        (frame({"kind": 1, "fields": {}, "arrays": []}), "makes no sense"),
    ],
)
def test_foreign_bytes_are_refused(content: bytes, message: str, pair: tuple[Channel, socket.socket]) -> None:
    channel, other = pair
    other.sendall(content)
    with pytest.raises(ProtocolError, match=message):
        channel.receive(timeout=5)


def test_a_peer_that_leaves_between_messages_or_within_one(pair: tuple[Channel, socket.socket]) -> None:
    channel, other = pair
    whole = protocol.encode(Message("step", {}, {"x": np.zeros(10)}))
    other.sendall(whole)
    assert channel.receive(timeout=5).kind == "step"
    other.sendall(whole[:-1])
    other.close()
    with pytest.raises(PeerLostError, match="in the middle of a message"):
        channel.receive(timeout=5)
    with pytest.raises(PeerLostError, match="between two messages"):
        channel.receive(timeout=5)
    with pytest.raises(PeerLostError, match="gone"):
        channel.send("step")


def test_silence_ends(pair: tuple[Channel, socket.socket]) -> None:
    channel, other = pair
    with pytest.raises(ProtocolError, match="did not answer in time"):
        channel.receive(timeout=0.05)
    # A byte now and then is silence too.
    stop = threading.Event()

    def dribble() -> None:
        while not stop.wait(0.02):
            other.sendall(b"DIMA"[:1])

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        with pytest.raises(ProtocolError):
            channel.receive(timeout=0.1)
    finally:
        stop.set()
        thread.join()


def test_a_peer_that_does_not_listen(pair: tuple[Channel, socket.socket]) -> None:
    channel, _ = pair
    with pytest.raises(ProtocolError, match="took no message within 0.1 s"):
        channel.send("step", arrays={"x": np.zeros(10**6)}, timeout=0.1)


@pytest.mark.parametrize("name", FOR_PYTHON_38)
def test_isaac_gyms_python_can_read_it_and_has_all_it_imports(name: str) -> None:
    text = (BRIDGE / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 8))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= ALLOWED
