"""The MongoDB database of the records: its address, its connection and its errors.

The address contains a password. It comes from the environment or a private file; neither it nor the text of
pymongo's errors, which may repeat parts of it, is ever printed or written.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dima.errors import UserError

if TYPE_CHECKING:
    from pymongo.database import Database
    from pymongo.errors import PyMongoError

URI, URI_FILE = "DIMA_MONGO_URI", "DIMA_MONGO_URI_FILE"
SCHEMES = ("mongodb://", "mongodb+srv://")
DEFAULT_DATABASE = "dima"
SECONDS_TO_FIND_A_SERVER = 5
SECONDS_TO_CONNECT = 4  # less, so that the reason is known by then
SECONDS_FOR_AN_ANSWER = 20
_UNAUTHORIZED, _AUTHENTICATION_FAILED = 13, 18


class DatabaseError(UserError):
    """The database cannot be used; one sentence without the address."""


@dataclass(frozen=True)
class Address:
    """A MongoDB URI that is not printed; `name` is that of its source."""

    uri: str = field(repr=False)
    name: str


def database_address() -> Address | None:
    """The address in DIMA_MONGO_URI, or in the file DIMA_MONGO_URI_FILE; None if neither is set.

    Raises:
        UserError: both are set, the file is not private, the URI is invalid, or pymongo is missing.
    """
    uri, path = os.environ.get(URI), os.environ.get(URI_FILE)
    if uri and path:
        raise UserError(f"{URI} and {URI_FILE} are both set; set one of them.")
    if uri:
        return address(uri, URI)
    return address(_private_text(Path(path)), path) if path else None


def required_address() -> Address:
    """As `database_address`, but raises UserError if neither variable is set."""
    found = database_address()
    if found is None:
        choices = f"set {URI} to its URI, or {URI_FILE} to a file of mode 0600 that holds it"
        raise UserError(f"No database is named: {choices}.")
    return found


def address(uri: str, name: str) -> Address:
    """`uri` as an address. Raises UserError, without any part of it, if invalid or without pymongo."""
    if not uri.startswith(SCHEMES) or re.search(r"[\s\x00-\x1f]", uri):
        raise _no_uri(name)
    try:
        from pymongo.errors import PyMongoError
        from pymongo.uri_parser import parse_uri
    except ImportError:
        raise UserError(f"{name} asks for MongoDB, which needs pymongo: pip install -e '.[mongo]'.") from None
    if uri.startswith(SCHEMES[0]):  # the other scheme needs a name server, which may be down
        try:
            parse_uri(uri)
        except OSError:
            raise UserError(f"{name} names a certificate file that cannot be read.") from None
        except (PyMongoError, ValueError):
            raise _no_uri(name) from None
    return Address(uri, name)


def _no_uri(name: str) -> UserError:
    form = "mongodb://USER:PASSWORD@HOST:PORT/DATABASE, special characters of the password percent-encoded"
    return UserError(f"{name} holds no usable MongoDB URI; it is written {form}.")


def _private_text(path: Path) -> str:
    """The content of a file that only its owner can read."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or mode & 0o077:
                wrong = f"must be a file of mode 0600, not {stat.S_IMODE(mode):04o}"
                raise UserError(f"{path}, which {URI_FILE} names, {wrong}.")
            return file.read().decode("utf-8", errors="replace").strip()
    except OSError as error:
        raise UserError(f"{path}, which {URI_FILE} names, cannot be read: {error.strerror}.") from None


def connect(place: Address) -> Database[dict[str, Any]]:
    """The database at the address; writes wait for a majority and its journal.

    This sends nothing yet, except perhaps to a name server.

    Raises:
        DatabaseError: the address cannot be used.
    """
    from pymongo import MongoClient

    with database_errors(place.name):
        client: MongoClient[dict[str, Any]] = MongoClient(
            place.uri,
            w="majority",
            journal=True,
            retryWrites=True,
            appname="dima",
            serverSelectionTimeoutMS=SECONDS_TO_FIND_A_SERVER * 1000,
            connectTimeoutMS=SECONDS_TO_CONNECT * 1000,
            socketTimeoutMS=SECONDS_FOR_AN_ANSWER * 1000,
            wTimeoutMS=SECONDS_FOR_AN_ANSWER * 1000,
        )
        return client.get_default_database(DEFAULT_DATABASE)


@contextmanager
def database_errors(name: str) -> Iterator[None]:
    """Turn pymongo's errors inside the block into a DatabaseError; `name` is that of `Address`."""
    from bson.errors import BSONError
    from pymongo.errors import PyMongoError

    try:
        yield
    except PyMongoError as error:
        raise DatabaseError(f"The database of {name} {_what(error)}.") from None
    except (BSONError, OverflowError):
        raise DatabaseError(f"The database of {name} cannot hold a value of this record.") from None


def _what(error: PyMongoError) -> str:
    """The fault in words; the error's own text is never repeated."""
    from pymongo import errors

    code = getattr(error, "code", None)
    text = str(error)
    if code == _AUTHENTICATION_FAILED or "authentication failed" in text.lower():
        return "refuses the user name or the password (users made in another database need ?authSource=admin)"
    if code == _UNAUTHORIZED:
        return "refuses access: the user needs the role readWrite"
    if re.search(r"\[SSL|SSL handshake|certificate verify", text):
        return "and its address disagree about TLS, or a certificate was not accepted"
    if isinstance(error, errors.ServerSelectionTimeoutError):
        if re.search(r"connection closed|Connection reset", text):
            return "closes the connection; it may need TLS (tls=true)"
        return f"cannot be reached: no server answered within {SECONDS_TO_FIND_A_SERVER} s"
    if isinstance(error, errors.ConnectionFailure | errors.WTimeoutError | errors.ExecutionTimeout):
        return "stopped answering"
    if isinstance(error, errors.ConfigurationError | errors.InvalidURI):
        return "cannot be found or used with the options of its address"
    return f"refuses the request ({type(error).__name__}{f', code {code}' if code else ''})"
