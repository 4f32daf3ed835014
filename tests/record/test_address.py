"""Where the database's address comes from, and that it shows nowhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dima.cli import main
from dima.errors import UserError
from dima.record.mongo.database import Address, database_address, required_address

SECRET = "canary"  # noqa: S105 - a password that is looked for
GOOD = f"mongodb://user:{SECRET}@db.example:27017/dima"


@pytest.fixture(autouse=True)
def _none_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIMA_MONGO_URI", raising=False)
    monkeypatch.delenv("DIMA_MONGO_URI_FILE", raising=False)


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that DIMA_MONGO_URI_FILE names."""
    path = tmp_path / "address"
    path.write_text(f"{GOOD}\n")
    path.chmod(0o600)
    monkeypatch.setenv("DIMA_MONGO_URI_FILE", str(path))
    return path


def test_no_variable_is_no_database_and_a_command_that_needs_one_says_how_to_name_it() -> None:
    assert database_address() is None
    with pytest.raises(
        UserError, match="No database is named: set DIMA_MONGO_URI .* or DIMA_MONGO_URI_FILE .* 0600"
    ):
        required_address()


def test_the_environment_or_a_private_file_names_it(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert database_address() == Address(GOOD, str(private))
    monkeypatch.setenv("DIMA_MONGO_URI", GOOD)
    with pytest.raises(UserError, match="are both set"):
        database_address()
    monkeypatch.delenv("DIMA_MONGO_URI_FILE")
    assert database_address() == Address(GOOD, "DIMA_MONGO_URI")


@pytest.mark.parametrize(
    ("mode", "refused"), [(0o400, False), (0o640, True), (0o604, True), (0o644, True), (0o660, True)]
)
def test_a_file_that_others_can_read_is_refused(private: Path, mode: int, refused: bool) -> None:
    private.chmod(mode)
    if not refused:
        assert database_address() == Address(GOOD, str(private))
        return
    with pytest.raises(
        UserError,
        match=f"address, which DIMA_MONGO_URI_FILE names, must be a file of mode 0600, not {mode:04o}",
    ):
        database_address()


def test_a_file_that_is_not_there_is_refused(private: Path) -> None:
    private.unlink()
    with pytest.raises(UserError, match="cannot be read: No such file or directory"):
        database_address()


@pytest.mark.parametrize(
    "uri",
    [
        f"postgres://user:{SECRET}@db.example",
        f"mongodb://user:{SECRET}/more@db.example",  # a slash that is not percent-encoded
        f"mongodb://user:{SECRET}@db.example:port",
        f"mongodb://user:{SECRET}@db.example\nsecond",
        f"mongodb://user:{SECRET}@db.example/?w=1&readPreference={SECRET}",
        f"mongodb://user:{SECRET}@",
    ],
)
def test_what_is_no_uri_is_refused_without_a_part_of_it(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIMA_MONGO_URI", uri)
    with pytest.raises(
        UserError, match="DIMA_MONGO_URI holds no usable MongoDB URI; it is written mongodb://USER:PASSWORD@"
    ) as caught:
        database_address()
    assert SECRET not in str(caught.value)
    assert "example" not in str(caught.value)


def test_a_certificate_file_that_is_not_there_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIMA_MONGO_URI", f"{GOOD}?tls=true&tlsCAFile=absent.pem")
    with pytest.raises(UserError, match="certificate file that cannot be read"):
        database_address()


def test_an_address_does_not_show_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIMA_MONGO_URI", GOOD)
    place = required_address()
    assert SECRET not in f"{place} {place!r} {[place]} {vars(place).keys()}"
    assert "DIMA_MONGO_URI" in repr(place)


@pytest.mark.parametrize("command", ["train", "sync", "tables"])
def test_without_pymongo_nothing_starts(
    command: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    arguments = {
        "train": ["train", "--grid", "tiny", "--task", "push-mass", "--method", "dima", "--seed", "1"],
        "sync": ["sync"],
        "tables": ["tables", "--grid", "tiny", "--from", "mongodb"],
    }
    for name in [name for name in sys.modules if name.partition(".")[0] in ("pymongo", "gridfs", "bson")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymongo", None)
    monkeypatch.setenv("DIMA_MONGO_URI", GOOD)
    assert main(arguments[command]) == 2
    message = capsys.readouterr().err
    assert (
        message == "dima: DIMA_MONGO_URI asks for MongoDB, which needs pymongo: pip install -e '.[mongo]'.\n"
    )
    assert not (workplace / "results").exists()
