"""The password of the database stands in no file, output, document or command that is shown; and what is
wrong is one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymongo
import pytest
from mongo_server import contents

ROOT = Path(__file__).parents[2]
PASSWORD, WRONG = "canary/pa:ss@w0rd", "canary/wr:ong@0ne"
FORMS = [form for word in (PASSWORD, WRONG) for form in (word, quote(word, safe=""))] + ["canary"]
CELL = ["--grid", "tiny", "--task", "push-mass", "--method", "mappo", "--seed", "1"]
TARGET = "results/tiny/cells/push-mass/mappo/seed-2/summary.json"


def dima(*arguments: str, uri: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"DIMA_MONGO_URI": uri} if uri else {}
    return subprocess.run(
        [sys.executable, "-m", "dima", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables | environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def leaks(folder: Path, *outputs: str) -> list[str]:
    """Where a form of the passwords stands."""
    texts = {
        str(path): path.read_bytes().decode("utf-8", "replace")
        for path in folder.rglob("*")
        if path.is_file()
    }
    texts |= {f"output {number}": output for number, output in enumerate(outputs)}
    return [place for place, text in texts.items() if any(form in text for form in FORMS)]


@pytest.fixture
def guarded(own_server: Any) -> Any:
    """A server with authentication: `guarded(password)` is an address on it."""
    with pymongo.MongoClient(own_server.uri()) as client:
        client.admin.command("createUser", "trainer", pwd=PASSWORD, roles=["readWriteAnyDatabase"])
    own_server.process.terminate()
    own_server.process.wait()
    own_server.start("--auth")
    return lambda password: own_server.uri(
        user=f"trainer:{quote(password, safe='')}@", options="?authSource=admin"
    )


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"mongodb://u:{quote(PASSWORD, safe='')}@h")
    assert leaks(tmp_path, "fine", f"no {WRONG}") == [str(tmp_path / "log"), "output 1"]


@pytest.mark.slow
@pytest.mark.remembered
def test_no_password_is_left_anywhere(
    workplace: Path, tmp_path_factory: pytest.TempPathFactory, guarded: Any
) -> None:
    shutil.copytree(ROOT / "workflow/rules", workplace / "workflow/rules")
    shutil.copytree(ROOT / "workflow/reference", workplace / "workflow/reference")
    good, wrong, absent = (
        guarded(PASSWORD),
        guarded(WRONG),
        f"mongodb://trainer:{quote(WRONG, safe='')}@127.0.0.1:1/dima",
    )
    results = []
    for uri, warns in ((good, False), (wrong, True), (absent, True)):
        results.append(dima("train", *CELL, "--from-scratch", uri=uri))
        assert results[-1].returncode == 0, results[-1].stderr
        assert results[-1].stderr.count("\n") == int(warns)
        results.append(dima("sync", uri=uri))
        results.append(dima("tables", "--grid", "tiny", "--from", "mongodb", "--to", "elsewhere", uri=uri))
        results.append(dima("tables", "--grid", "tiny", "--from", uri, "--to", "elsewhere", uri=""))
        results.append(dima("figures", "--grid", "tiny", "--from", uri, "--to", "elsewhere", uri=""))
        for result in results[-4:]:
            assert (result.returncode, result.stderr.count("\n")) == ((2, 1) if warns else (0, 0)), (
                result.stderr
            )
    private = tmp_path_factory.mktemp("private") / "address"
    private.write_text(good)
    private.chmod(0o600)
    results.append(dima("sync", uri="", DIMA_MONGO_URI_FILE=str(private)))
    assert results[-1].returncode == 0
    snakemake = [
        Path(sys.executable).with_name("snakemake"),
        "--snakefile",
        ROOT / "Snakefile",
        "--printshellcmds",
        "--cores",
        "1",
        TARGET,
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DIMA_MONGO_URI": good}
    results.append(
        subprocess.run(snakemake, env=environment, capture_output=True, text=True, timeout=120, check=False)
    )
    assert results[-1].returncode == 0, results[-1].stderr
    assert "python -m dima train" in results[-1].stdout + results[-1].stderr + "".join(
        path.read_text() for path in (workplace / ".snakemake/log").iterdir()
    )
    server_files = workplace / "server"
    shutil.move(server_files, tmp_path_factory.mktemp("moved"))
    assert leaks(workplace, *(part for result in results for part in (result.stdout, result.stderr))) == []
    documents = contents(good)
    assert {run["_id"] for run in documents["runs"]} >= {
        f"tiny/push-mass/mappo/seed-1/{n}" for n in (1, 2, 3)
    }
    assert not any(form in str(documents) for form in FORMS)


@pytest.mark.parametrize(
    ("password", "says"),
    [(WRONG, "refuses the user name or the password"), (None, "the user needs the role readWrite")],
)
def test_a_database_that_refuses_says_why(
    workplace: Path, guarded: Any, own_server: Any, password: str | None, says: str
) -> None:
    (workplace / "results/tiny/cells").mkdir(parents=True)
    uri = guarded(password) if password else own_server.uri()
    for arguments in (("sync",), ("tables", "--grid", "tiny", "--from", "mongodb")):
        result = dima(*arguments, uri=uri)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert says in result.stderr
        assert not (workplace / "results/tiny/tables").exists()


def certificate(folder: Path, days: int) -> tuple[Path, Path]:
    """A self-signed certificate of the loopback, and its key."""
    key, request, made, names = (folder / f"{days}.{ending}" for ending in ("key", "csr", "pem", "txt"))
    names.write_text("subjectAltName=IP:127.0.0.1\n")
    openssl = shutil.which("openssl") or pytest.skip("openssl is not installed")
    for command in (
        ["req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=localhost"],
        [
            "x509",
            "-req",
            "-in",
            request,
            "-signkey",
            key,
            "-days",
            str(days),
            "-extfile",
            names,
            "-out",
            made,
        ],
    ):
        subprocess.run([openssl, *command], check=True, capture_output=True)
    return made, key


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize(
    ("days", "options", "says"),
    [
        (10, "", "closes the connection; it may need TLS (tls=true)"),
        (10, "?tls=true", "a certificate was not accepted"),
        (-1, "?tls=true&tlsCAFile={ca}", "a certificate was not accepted"),
        (None, "?tls=true", "disagree about TLS"),
        (10, "?tls=true&tlsCAFile={ca}", None),
    ],
    ids=["plain to TLS", "unknown certificate", "expired certificate", "TLS to plain", "in order"],
)
def test_tls_that_does_not_fit_is_one_sentence_and_training_goes_on(
    workplace: Path,
    tmp_path_factory: pytest.TempPathFactory,
    own_server: Any,
    days: int | None,
    options: str,
    says: str | None,
) -> None:
    folder = tmp_path_factory.mktemp("certificates")
    if days:
        made, key = certificate(folder, days)
        options = options.format(ca=made)
        own_server.process.terminate()
        own_server.process.wait()
        own_server.start("--tls-cert-file", str(made), "--tls-key-file", str(key))
    uri = own_server.uri(options=options)
    begun = time.monotonic()
    result = dima("train", *CELL, uri=uri)
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - begun < 60
    assert (says or "") in result.stderr
    assert result.stderr.count("\n") == (1 if says else 0)
    synced = dima("sync", uri=uri)
    assert synced.returncode == (2 if says else 0)
    assert synced.stderr.count("\n") == (1 if says else 0)
    assert (says or "") in synced.stderr
