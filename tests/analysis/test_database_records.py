"""Tables, figures and report from the database are those from the files, byte for byte, refusals included."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pymongo
import pytest
from made_frames import write_frames
from mongo_server import _server_uri, databases  # noqa: F401

from dima.analysis.figures.write import write_figures
from dima.analysis.records.database import DatabaseRecords
from dima.analysis.records.files import Records
from dima.analysis.report.write import write_report
from dima.analysis.results import GridResults
from dima.analysis.tables.write import write_tables
from dima.config.grid import CellKey
from dima.errors import UserError
from dima.record.mongo.database import Address
from dima.record.mongo.sync import sync

KEYS = [CellKey("push-mass", method, seed) for method in ("dima", "mappo") for seed in range(1, 8)]


@pytest.fixture
def grid(make_grid: Any) -> Any:
    pictures = [(["push-mass"], ["dima"], [1, 2])]
    experiments = {
        "final_returns": [(["push-mass"], ["dima", "mappo"], range(1, 8))],
        "imagination": pictures,
        "agent_order": pictures,
    }
    return make_grid(experiments)


@pytest.fixture
def in_database(databases: Any, results: Path) -> Callable[[], Records]:  # noqa: F811
    """The records, after `dima sync`, in a new database."""

    def bring() -> Records:
        place = Address(databases.uri(), "DIMA_MONGO_URI")
        sync(place, results)
        return DatabaseRecords(place, "trial")

    return bring


@pytest.mark.slow
@pytest.mark.remembered
def test_every_state_gives_the_same_bytes(
    grid: Any, results: Path, write_cell: Any, write_status: Any, in_database: Any, tmp_path: Path
) -> None:
    for seed in (1, 2, 3):
        write_cell(KEYS[seed - 1], 31.0 + seed / 7, 4000)
        write_cell(
            KEYS[seed + 6],
            20.0 + seed / 3,
            4000,
            curve={0: [0.0, 1.0], 2000: [seed, 5.0], 4000: [20.0 + seed / 3] * 2},
        )
    write_cell(KEYS[3], 99.0, 4000, config_hash="0ld")
    for key, state in zip(
        KEYS[4:7] + KEYS[10:12], ("diverged", "failed", "completed", "running", "interrupted"), strict=True
    ):
        write_status(key, state)
    for key in (
        KEYS[0],
        KEYS[12],
    ):  # attempts that were set aside, with another return; of the second cell nothing else is there yet
        archive = results / "trial/cells" / key.folder / "attempts/1"
        archive.mkdir(parents=True)
        write_frames(archive, start=np.array(7))
        for name in ("summary.json", "events.jsonl"):
            (archive / name).write_text((results / "trial/cells" / KEYS[1].folder / name).read_text())
    for key in KEYS[:2]:
        studies = write_frames(results / "trial/cells" / key.folder).parent
        (studies / "orders.csv").write_text(f"order,horizon,error\nrandom,1,0.{key.seed}\nrandom,2,0.7\n")
    hashes = {key: "c0ffee" for key in KEYS}
    records = in_database()
    for write in (write_tables, write_figures):
        from_files, from_database = (
            {path.name: path.read_bytes() for path in write(GridResults(grid, source, hashes), folder)}
            for source, folder in ((results, results), (records, tmp_path / "other"))
        )
        assert from_database == from_files
        assert len(from_files) >= 3
    for to, source in ((results, results), (tmp_path / "other", records)):
        write_report(GridResults(grid, source, hashes), to)
    reports = [folder_bytes(to / "trial/report") for to in (results, tmp_path / "other")]
    assert reports[0] == reports[1]
    assert len(reports[0]) > len(KEYS)
    table = (results / "trial/tables/final_returns.csv").read_text()
    for word in ("stale", "diverged", "failed", "interrupted", "running", "not run"):
        assert word in table


def folder_bytes(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def twisted(change: str, folder: Path) -> None:
    summary = folder / "summary.json"
    match change:
        case "another cell":
            summary.write_text(json.dumps(json.loads(summary.read_text()) | {"seed": 9}))
        case "torn":
            summary.write_text(summary.read_text()[:20])
        case "another format":
            summary.write_text(json.dumps(json.loads(summary.read_text()) | {"format": 2}))
        case "claimed twice":
            shutil.copytree(folder, folder.with_name("seed-1-copy"))
        case "another end":
            (folder / "events.jsonl").unlink()
        case "unknown state":
            summary.unlink()
            (folder / "status.json").write_text('{"state": "asleep"}')


@pytest.mark.parametrize(
    "change", ["another cell", "torn", "another format", "claimed twice", "another end", "unknown state"]
)
def test_what_is_refused_in_files_is_refused_in_the_database_in_the_same_words(
    grid: Any, results: Path, write_cell: Any, in_database: Any, change: str
) -> None:
    twisted(change, write_cell(KEYS[0], 31.0, 4000))
    said = []
    for records in (results, in_database()):
        with pytest.raises(UserError) as caught:
            write_figures(GridResults(grid, records), results)
        said.append(re.sub(r"\S*/cells/| in the database of DIMA_MONGO_URI", "", str(caught.value)))
    assert said[0] == said[1]


def test_a_file_that_is_not_whole_is_refused(
    grid: Any,
    results: Path,
    write_cell: Any,
    databases: Any,  # noqa: F811
) -> None:
    write_cell(KEYS[0], 31.0, 4000)
    uri = databases.uri()
    place = Address(uri, "DIMA_MONGO_URI")
    sync(place, results)
    chunks = pymongo.MongoClient(uri).get_default_database()["fs.chunks"]
    for damage in ({"$set": {"data": b"{}"}}, None):
        if damage:
            chunks.update_many({}, damage)
        else:
            chunks.delete_many({})
        with pytest.raises(
            UserError, match=r"seed-1/summary\.json in the database of DIMA_MONGO_URI is not whole"
        ):
            write_tables(GridResults(grid, DatabaseRecords(place, "trial")), results)
    sync(place, results)
    write_tables(GridResults(grid, DatabaseRecords(place, "trial")), results)


def test_an_empty_database_has_run_nothing(grid: Any, results: Path, databases: Any) -> None:  # noqa: F811
    write_tables(GridResults(grid, DatabaseRecords(Address(databases.uri(), "X"), "trial")), results)
    assert (results / "trial/tables/final_returns.md").read_text().count("not run") >= 2
