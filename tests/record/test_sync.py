"""`dima sync` against a real server: the event log is the truth, and the database is made equal to it however
often and by however many."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import gridfs
import pymongo
import pytest
from bson import ObjectId, encode
from mongo_server import contents
from pymongo.errors import BulkWriteError, DuplicateKeyError

from dima.errors import UserError
from dima.record.mongo.database import Address, DatabaseError, connect, database_errors
from dima.record.mongo.publish import _race, make_indexes, publish
from dima.record.mongo.sacred_documents import metric_documents
from dima.record.mongo.sync import sync
from dima.record.snapshot import RECORDS, attempts, read_record, take

ROOT = Path(__file__).parents[2]
RUN = "trial/push-mass/dima/seed-1/1"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def address(uri: str) -> Address:
    return Address(uri, "DIMA_MONGO_URI")


def database(uri: str) -> Any:
    return pymongo.MongoClient(uri).get_default_database()


def synced(databases: Any, results: Path) -> str:
    uri = databases.uri()
    sync(address(uri), results)
    return uri


def test_a_run_in_the_schema_of_sacred(databases: Any, results: Path, attempt: Any) -> None:
    attempt.whole()
    uri = synced(databases, results)
    found = contents(uri)
    (run,) = found["runs"]
    assert (run["_id"], run["status"], run["result"]) == (RUN, "COMPLETED", 3.0)
    assert run["start_time"] == datetime(2026, 3, 1, 10, 0)  # stored in UTC
    assert run["heartbeat"] == run["stop_time"] == datetime(2026, 3, 1, 10, 0, 8, 500000)
    assert (run["config"]["rate"], run["config"]["big"]) == (0.5, str(2**70))
    assert run["experiment"]["repositories"] == [{"url": None, "commit": "abc", "dirty": False}]
    assert run["experiment"]["dependencies"] == ["torch==2.13.0"]
    facts = {name: value for name, value in run["info"].items() if name != "metrics"}
    assert facts == {
        "grid": "trial",
        "cell": "push-mass/dima/seed-1",
        "attempt": 1,
        "current": True,
        "config_hash": "c0ffee",
    }
    series = {}
    for entry in run["info"]["metrics"]:
        metric = database(uri)["metrics"].find_one({"_id": ObjectId(entry["id"])})
        assert (metric["name"], metric["run_id"]) == (entry["name"], RUN)
        series[metric["name"]] = list(
            zip(metric["steps"], metric["values"], metric["timestamps"], strict=True)
        )
    begun = datetime(2026, 3, 1, 10, 0)
    assert (
        series
        == {  # the rewind superseded the value that was no number; 1.5 and 3.0 are means of two episodes
            "denoiser.loss": [
                (10, 0.5, begun.replace(second=1)),
                (20, 0.25, begun.replace(second=2, microsecond=500000)),
            ],
            "denoiser.norm": [
                (10, 20.0, begun.replace(second=1)),
                (20, 40.0, begun.replace(second=2, microsecond=500000)),
            ],
            "evaluation.return": [
                (0, 1.5, begun.replace(microsecond=500000)),
                (20, 3.0, begun.replace(second=3, microsecond=500000)),
            ],
        }
    )


def test_its_fields_are_those_that_sacreds_own_observer_writes(
    databases: Any, results: Path, attempt: Any
) -> None:
    attempt.whole()
    ours = contents(synced(databases, results))
    from sacred import Experiment
    from sacred.observers import MongoObserver

    uri = databases.uri()
    experiment = Experiment("dima", base_dir=str(ROOT), save_git_info=False)
    experiment.observers.append(MongoObserver(url=uri, db_name=database(uri).name))

    @experiment.main
    def main(_run):
        _run.log_scalar("loss", 0.5, 10)
        _run.add_artifact(attempt.folder / "summary.json", content_type="application/json")

    experiment.run(options={"--capture": "no"})
    theirs = contents(uri)
    assert set(theirs["runs"][0]) - set(ours["runs"][0]) == set()
    assert set(ours["runs"][0]) - set(theirs["runs"][0]) == {"fail_trace"}  # theirs has it where a run failed
    assert set(theirs["runs"][0]["artifacts"][0]) == set(ours["runs"][0]["artifacts"][0])
    assert set(ours["metrics"][0]) - set(theirs["metrics"][0]) == {"chunk"}
    assert set(theirs["metrics"][0]) <= set(ours["metrics"][0])
    assert set(theirs["runs"][0]["info"]["metrics"][0]) == set(ours["runs"][0]["info"]["metrics"][0])
    assert {key: type(value) for key, value in theirs["metrics"][0].items()} | {
        "run_id": str,
        "chunk": int,
    } == {key: type(value) for key, value in ours["metrics"][0].items()}


def test_the_database_alone_gives_every_file_back(databases: Any, results: Path, attempt: Any) -> None:
    attempt.whole()
    with (attempt.folder / "events.jsonl").open("a") as file:
        file.write('{"seq": 8, "kind": "sca')  # a kill
    (attempt.folder / "studies").mkdir()
    for name in ("prediction.csv", "orders.csv", "frames.npz", "gain.csv"):
        (attempt.folder / "studies" / name).write_bytes(name.encode())
    uri = synced(databases, results)
    artifacts = {artifact["name"]: artifact["file_id"] for artifact in contents(uri)["runs"][0]["artifacts"]}
    store = gridfs.GridFS(database(uri))
    assert set(artifacts) == {*RECORDS, "studies/prediction.csv", "studies/orders.csv", "studies/frames.npz"}
    assert {name: store.get(file_id).read() for name, file_id in artifacts.items()} == {
        name: (attempt.folder / name).read_bytes() for name in artifacts
    }
    assert store.find_one({"filename": f"artifact://runs/{RUN}/events.jsonl"}) is not None


def test_twice_is_once_and_damage_is_repaired(databases: Any, results: Path, attempt: Any) -> None:
    attempt.whole()
    uri = synced(databases, results)
    once = contents(uri)
    sync(address(uri), results)
    assert contents(uri) == once
    there = database(uri)
    there["metrics"].update_one({"name": "denoiser.loss"}, {"$push": {"values": 7.0}})
    there["metrics"].delete_one({"name": "denoiser.norm"})
    there["metrics"].insert_one(
        {"run_id": RUN, "name": "denoiser.loss", "chunk": 1, "steps": [1], "values": [1.0], "timestamps": []}
    )
    there["fs.chunks"].delete_many({})
    there["runs"].update_one({}, {"$set": {"status": "RUNNING", "info.metrics": []}})
    assert contents(uri) != once
    sync(address(uri), results)
    assert contents(uri) == once


def test_what_a_run_no_longer_holds_goes(databases: Any, results: Path, attempt: Any) -> None:
    """The log grows, the summary is taken away: as if the database had never seen what was before."""
    attempt.begin().epoch(10, 0.5).end()
    uri = synced(databases, results)
    (attempt.folder / "summary.json").unlink()
    attempt.epoch(20, 0.25).status("interrupted")
    sync(address(uri), results)
    assert contents(uri) == contents(synced(databases, results))
    (run,) = contents(uri)["runs"]
    assert run["status"] == "INTERRUPTED"
    assert "summary.json" not in [artifact["name"] for artifact in run["artifacts"]]


@pytest.mark.parametrize(
    ("state", "word"),
    [("running", "RUNNING"), ("diverged", "FAILED"), ("failed", "FAILED"), ("interrupted", "INTERRUPTED")],
)
def test_the_word_for_how_a_run_stands(
    databases: Any, results: Path, attempt: Any, state: str, word: str
) -> None:
    attempt.begin().status(state, "why" if word == "FAILED" else None)
    (run,) = contents(synced(databases, results))["runs"]
    assert (run["status"], run["fail_trace"]) == (word, ["why"] if word == "FAILED" else [])
    assert (run["stop_time"] is None) == (word == "RUNNING")


def test_every_attempt_is_a_run_and_the_newest_is_current(
    databases: Any, results: Path, attempt: Any, new_attempt: Any
) -> None:
    attempt.whole()
    uri = synced(databases, results)
    archive = attempt.folder / "attempts/1"
    archive.mkdir(parents=True)
    for name in RECORDS:
        (attempt.folder / name).rename(archive / name)
    new_attempt(attempt.folder, "c0c0a", 2).begin().epoch(10, 9.0)
    sync(address(uri), results)
    assert contents(uri) == contents(synced(databases, results))
    runs = contents(uri)["runs"]
    assert [
        (run["_id"], run["status"], run["info"]["current"], run["info"]["config_hash"]) for run in runs
    ] == [
        (RUN, "COMPLETED", False, "c0ffee"),
        (f"{RUN[:-1]}2", "RUNNING", True, "c0c0a"),
    ]


def test_a_cell_made_again_from_its_first_attempt_is_the_current_one(
    databases: Any, results: Path, attempt: Any, new_attempt: Any
) -> None:
    """The results were removed, and the database still has what was there before."""
    new_attempt(attempt.folder, "c0ffee", 2).whole()
    uri = synced(databases, results)
    shutil.rmtree(attempt.folder)
    attempt.whole()
    sync(address(uri), results)
    assert [(run["_id"][-1], run["info"]["current"]) for run in contents(uri)["runs"]] == [
        ("1", True),
        ("2", False),
    ]


@pytest.mark.parametrize(
    "error",
    [DuplicateKeyError("E11000"), BulkWriteError({"writeErrors": [{"code": 11000}]})],
    ids=["one", "bulk"],
)
def test_two_upserts_that_meet_are_tried_again(error: Exception) -> None:
    """MongoDB answers the slower of two upserts of one new document with a duplicate; the server of these
    tests does not."""
    left = [error, error]

    def write() -> None:
        if left:
            raise left.pop()

    _race(write)
    assert left == []
    left[:] = [error] * 5
    with pytest.raises(type(error)):
        _race(write)


def test_a_run_from_another_configuration_is_refused_with_both_hashes_and_untouched(
    databases: Any, results: Path, attempt: Any, new_attempt: Any, capsys: pytest.CaptureFixture
) -> None:
    attempt.whole()
    uri = synced(databases, results)
    before = contents(uri)
    shutil.rmtree(attempt.folder)
    new_attempt(attempt.folder, "0ther").begin().epoch(10, 9.0)
    other = new_attempt(attempt.folder.with_name("seed-2")).whole()
    with pytest.raises(UserError, match="1 of 2 cells could not be written to the database; all others are"):
        sync(address(uri), results)
    assert (
        f"holds run {RUN} from another configuration (hash c0ffee) than this one (hash 0ther)"
        in capsys.readouterr().err
    )
    assert other.folder.exists()
    after = contents(uri)
    assert [run["_id"] for run in after["runs"]] == [RUN, RUN.replace("seed-1", "seed-2")]
    for name, documents in before.items():
        assert [document for document in documents if document not in after[name]] == []


@pytest.mark.slow
@pytest.mark.remembered
def test_a_series_of_more_than_16_mb_is_several_documents_in_order(
    databases: Any, results: Path, attempt: Any
) -> None:
    attempt.begin()
    points = 450_000
    lines = (
        f'{{"seq": {seq}, "kind": "scalars", "env_steps": {seq}, "group": "g",'
        f' "values": {{"x": {seq}.5}}, "wall_seconds": {seq}.0}}\n'
        for seq in range(points)
    )
    (attempt.folder / "events.jsonl").write_text("".join(lines))
    snapshot = take(attempts(attempt.folder, "trial", "push-mass/dima/seed-1")[0])
    uri = databases.uri()
    there = connect(address(uri))
    make_indexes(there)
    (whole,) = metric_documents(snapshot, points=points)
    assert len(encode(whole)) > 16 * 1024**2
    with pytest.raises(DatabaseError), database_errors("DIMA_MONGO_URI"):
        publish(there, snapshot, points=points)
    publish(there, snapshot)
    chunks = list(there["metrics"].find({"run_id": RUN, "name": "g.x"}).sort("chunk", 1))
    assert [chunk["chunk"] for chunk in chunks] == [0, 1, 2, 3, 4]
    assert max(len(encode(chunk)) for chunk in chunks) < 16 * 1024**2
    for column in ("steps", "values", "timestamps"):
        assert [entry for chunk in chunks for entry in chunk[column]] == [
            entry if column != "timestamps" else entry.replace(tzinfo=None) for entry in whole[column]
        ]
    run = there["runs"].find_one({"_id": RUN})
    assert run is not None
    assert run["info"]["metrics"] == [{"name": "g.x", "id": str(chunk["_id"])} for chunk in chunks]
    assert gridfs.GridFS(there).get(run["artifacts"][-1]["file_id"]).read() == snapshot.files["events.jsonl"]
    attempt.seq = 0
    (attempt.folder / "events.jsonl").unlink()
    attempt.epoch(1, 0.5)
    publish(there, take(snapshot.attempt))
    assert there["metrics"].count_documents({"run_id": RUN}) == 2


def test_eight_at_a_time_equal_one(databases: Any, results: Path, new_attempt: Any) -> None:
    for seed in (1, 2, 3):
        attempt = new_attempt(results / f"trial/cells/push-mass/dima/seed-{seed}").whole()
        (attempt.folder / "attempts/0").mkdir(parents=True)
        shutil.copy(attempt.folder / "events.jsonl", attempt.folder / "attempts/0/events.jsonl")
    one, eight = synced(databases, results), databases.uri()
    command = [sys.executable, "-m", "dima", "sync", "--from", str(results)]
    environment = os.environ | {"DIMA_MONGO_URI": eight, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(8)
    ]
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    assert contents(eight) == contents(one)
    assert len(contents(one)["runs"]) == 6


def test_links_and_other_names_are_refused(
    tmp_path: Path, results: Path, attempt: Any, databases: Any, capsys: Any
) -> None:
    attempt.whole()
    secret = tmp_path / "secret"
    secret.write_text("private")
    for name in ("../x", "/etc/hostname", "x/summary.json", "summary.json\0", "checkpoint", ""):
        with pytest.raises(UserError, match="is not a record of a cell; the records are config.json"):
            read_record(attempt.folder, name)
    (attempt.folder / "summary.json").unlink()
    (attempt.folder / "summary.json").symlink_to(secret)
    with pytest.raises(UserError, match="1 of 1 cells"):
        sync(address(uri := databases.uri()), results)
    assert "summary.json is a link" in capsys.readouterr().err
    assert b"private" not in b"".join(chunk["data"] for chunk in contents(uri)["fs.chunks"])
    (attempt.folder / "summary.json").unlink()
    os.mkfifo(attempt.folder / "summary.json")
    with pytest.raises(UserError, match="is not a file"):
        read_record(attempt.folder, "summary.json")


def test_grids_and_folders_that_are_not_there_are_named(
    databases: Any, tmp_path: Path, results: Path, attempt: Any
) -> None:
    attempt.whole()
    place = address(databases.uri())
    with pytest.raises(
        UserError, match=r"There is no .*results/trail/cells; the grids in .*results are trial"
    ):
        sync(place, results, "trail")
    with pytest.raises(UserError, match="There is no folder .*absent"):
        sync(place, tmp_path / "absent")
    shutil.copytree(attempt.folder, attempt.folder.with_name("seed-1 (copy)"))
    with pytest.raises(UserError, match=r"seed-1 \(copy\) is not named as a cell is"):
        sync(place, results)


def test_a_log_that_is_none_is_named_and_the_others_are_brought(
    databases: Any, results: Path, attempt: Any, new_attempt: Any, capsys: Any
) -> None:
    attempt.begin().event("scalars", env_steps=1, group="g")
    broken = new_attempt(attempt.folder.with_name("seed-2")).begin()
    (broken.folder / "events.jsonl").write_text("no json\n")
    new_attempt(attempt.folder.with_name("seed-3")).whole()
    with pytest.raises(UserError, match="2 of 3 cells"):
        sync(address(uri := databases.uri()), results)
    errors = capsys.readouterr().err
    assert "seed-1/events.jsonl holds an event that is not of this format" in errors
    assert "Line 1 of" in errors
    assert [run["info"]["cell"][-1] for run in contents(uri)["runs"]] == ["3"]


def test_the_indexes_serve_the_questions(databases: Any, results: Path, attempt: Any) -> None:
    attempt.whole()
    there = database(synced(databases, results))
    keys = {
        name: [index["key"] for index in there[name].index_information().values()]
        for name in ("runs", "metrics", "fs.chunks")
    }
    assert [("info.grid", 1), ("info.cell", 1), ("info.attempt", 1)] in keys["runs"]
    assert [("run_id", 1), ("name", 1), ("chunk", 1)] in keys["metrics"]
    assert [("files_id", 1), ("n", 1)] in keys["fs.chunks"]


def test_the_command_says_what_it_brought(databases: Any, results: Path, attempt: Any) -> None:
    attempt.whole()
    uri = databases.uri()
    command = [sys.executable, "-m", "dima", "sync", "--grid", "trial", "--from", str(results)]
    environment = os.environ | {"DIMA_MONGO_URI": uri, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout, result.stderr) == (0, "trial: 1 runs, 3 metric documents\n", "")
    assert (
        json.loads(gridfs.GridFS(database(uri)).find_one({"filename": {"$regex": "config"}}).read())["digest"]
        == "c0ffee"
    )
