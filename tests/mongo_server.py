"""A MongoDB server for tests: the one that DIMA_TEST_MONGO_URI names, else secantusdb in a process of its
own, else none and a reason."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pymongo
import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = shutil.which(
    "secantusd-py", path=f"{ROOT / '.venv-mongo/bin'}{os.pathsep}{os.environ.get('PATH', '')}"
)
INSTALL = "python3 -m venv .venv-mongo && .venv-mongo/bin/pip install -r tests/mongo-server.txt"
COLLECTIONS = ("runs", "metrics", "fs.files", "fs.chunks")
OUTSIDE = os.environ.get("DIMA_TEST_MONGO_URI")


class Server:
    """secantusdb on a free port of the loopback, its data in `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as chosen:
            self.port = chosen.getsockname()[1]
        self.start(*options)

    def start(self, *options: str) -> None:
        """Begin, or begin again on what it had stored."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = ["--port", str(self.port), "--storage-path", "data", "--sync-on-commit", *options]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [str(PROGRAM), *arguments], cwd=self.folder, stdout=log, stderr=log
            )
        for _ in range(600):
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("secantusdb does not listen")

    def kill(self) -> None:
        """As a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def uri(self, database: str = "dima", user: str = "", options: str = "") -> str:
        """The server's address; `user` is `name:password@`, percent-encoded."""
        return f"mongodb://{user}127.0.0.1:{self.port}/{database}{options}"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may kill."""
    server = (
        Server(tmp_path / "server") if PROGRAM else pytest.skip(f"secantusdb is not installed: {INSTALL}")
    )
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture(scope="session")
def _server_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if OUTSIDE:
        yield OUTSIDE
        return
    server = (
        Server(tmp_path_factory.mktemp("server"))
        if PROGRAM
        else pytest.skip(f"secantusdb is not installed: {INSTALL}")
    )
    yield server.uri()
    server.kill()


class TestDatabases:
    """Empty databases on the server, dropped at the end."""

    __test__ = False

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client = pymongo.MongoClient(uri)
        self._names: list[str] = []

    def uri(self) -> str:
        """The address of a new one."""
        self._names.append(f"dima_test_{uuid.uuid4().hex[:12]}")
        parts = urlsplit(self._uri)
        query = parts.query
        if "@" in parts.netloc and "authSource" not in parse_qs(query):
            query = f"{query}&authSource={parts.path.strip('/') or 'admin'}".lstrip("&")
        return parts._replace(path=f"/{self._names[-1]}", query=query).geturl()

    def drop(self) -> None:
        for name in self._names:
            self._client.drop_database(name)
        self._client.close()


@pytest.fixture
def databases(_server_uri: str) -> Iterator[TestDatabases]:
    """`databases.uri()` is the address of a new, empty database."""
    found = TestDatabases(_server_uri)
    yield found
    found.drop()


def contents(uri: str) -> dict[str, list[dict]]:
    """Every document of the database but the moment at which a file was first stored."""
    with pymongo.MongoClient(uri) as client:
        database = client.get_default_database()
        found = {
            name: sorted(database[name].find(), key=lambda document: str(document["_id"]))
            for name in COLLECTIONS
        }
    for document in found["fs.files"]:
        del document["uploadDate"]
    return found
