"""The process that holds Isaac Gym: one task for one client over a local socket; it ends with the client.

Started as a script by Python 3.8: `python3.8 server.py --connect SOCKET` by the client itself, or
`python3.8 server.py --listen SOCKET` by hand. Not run against Isaac Gym by us.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys

import numpy as np
from protocol import Channel, Message, PeerLostError
from simulation import RefusedError, Simulation


def main() -> None:
    """Serve one client from its first message to its last."""
    parser = argparse.ArgumentParser(description="Hold a Bi-DexHands task in Isaac Gym for one client.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--connect", metavar="SOCKET", help="socket on which the client waits")
    where.add_argument("--listen", metavar="SOCKET", help="socket to make, on which to wait for the client")
    arguments = parser.parse_args()
    # the task's code must not import modules of this folder
    sys.path.pop(0)
    channel = Channel(_connect(arguments.connect) if arguments.connect else _accept(arguments.listen))
    try:
        _serve(channel)
    except PeerLostError as error:
        print(f"the client is gone: {error}", file=sys.stderr)
    finally:
        channel.close()


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError as error:
        sys.exit(f"no client waits on {path} ({error}); its folder has to be visible inside the container")
    return connection


def _accept(path: str) -> socket.socket:
    """Wait for one client; the socket file is private to its owner, and removed when the client has come."""
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.umask(0o077)
        listener.bind(path)
        os.umask(before)
        try:
            listener.listen(1)
            return listener.accept()[0]
        finally:
            os.unlink(path)


def _serve(channel: Channel) -> None:
    try:
        opening = channel.receive()
        if opening.kind != "open":
            raise RefusedError(f"the first message has to be 'open', it is {opening.kind!r}")
        simulation = Simulation(**opening.fields)
        channel.send("opened", simulation.facts, simulation.first_observations())
        while True:
            message = channel.receive()
            if message.kind == "close":
                channel.send("closed")
                return
            channel.send("stepped", arrays=_step(simulation, message))
    except PeerLostError:
        raise
    except RefusedError as error:
        channel.send("failed", {"message": str(error)})
        raise
    except (Exception, SystemExit) as error:  # Isaac Gym's code ends the process when it cannot continue
        channel.send("failed", {"message": f"{type(error).__name__}: {error}"})
        raise


def _step(simulation: Simulation, message: Message) -> dict[str, np.ndarray]:
    if message.kind != "step" or set(message.arrays) != {"actions", "begins"}:
        found = f"this one is {message.kind!r} with {sorted(message.arrays)}"
        raise RefusedError(f"a message has to be 'step' or 'close', {found}")
    return simulation.step(message.arrays["actions"], message.arrays["begins"])


if __name__ == "__main__":
    main()
