"""Tables, figures and report from archives and folders together are those from one folder, byte for byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_frames import write_frames

from dima.analysis.records.files import Records
from dima.analysis.records.sources import is_of_results, records_in
from dima.analysis.report.write import write_report
from dima.analysis.results import GridResults
from dima.analysis.tables.write import write_tables
from dima.campaign.cell_plan import cell_plans
from dima.campaign.cell_status import cell_statuses
from dima.campaign.pack import pack, unfinished_cells
from dima.campaign.plan import make_plan
from dima.campaign.unpack import unpack
from dima.cell.lock import hold
from dima.cli import main
from dima.config.grid import CellKey, Grid, load_grid
from dima.errors import UserError
from dima.record.archive import read_archive

KEYS = [CellKey("push-mass", method, seed) for method in ("dima", "mappo") for seed in range(1, 7)]
HASHES = dict.fromkeys(KEYS, "c0ffee")
STUDY = "order,horizon,error\nrandom,1,0.5\nrandom,2,0.7\n"


@pytest.fixture
def grid(make_grid: Any) -> Grid:
    pictures = [(["push-mass"], ["dima"], [1, 2])]
    experiments = {
        "final_returns": [(["push-mass"], ["dima", "mappo"], range(1, 7))],
        "imagination": pictures,
        "agent_order": pictures,
    }
    return make_grid(experiments)


@pytest.fixture
def every_state(write_cell: Any, write_status: Any) -> None:
    """Records in every state, studies, and what does not travel: earlier attempts and checkpoints."""
    for number in (0, 1, 2, 6, 7):
        folder = write_cell(KEYS[number], 31.0 + number / 7, 4000)
        (folder / "completed.json").write_bytes((folder / "summary.json").read_bytes())
    write_cell(KEYS[3], 99.0, 4000, config_hash="0ld")
    for key, state in zip(
        (*KEYS[4:6], *KEYS[8:11]), ("diverged", "failed", "completed", "running", "interrupted"), strict=True
    ):
        write_status(key, state)
    for key in KEYS[:2]:
        studies = write_frames(folder.parents[1] / key.method / f"seed-{key.seed}").parent
        (studies / "orders.csv").write_text(STUDY)
    write_frames(folder / "attempts/1", start=np.array(7))
    (folder / "checkpoint").mkdir()


def everything(grid: Grid, to: Path, records: Records) -> dict[str, bytes]:
    """All that is made of the records; the report has copies of tables and figures."""
    write_tables(GridResults(grid, records, HASHES), to)
    write_report(GridResults(grid, records, HASHES), to)
    return files_below(to)


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.usefixtures("every_state")
def test_every_state_gives_the_same_bytes(grid: Grid, results: Path, tmp_path: Path) -> None:
    whole = everything(grid, tmp_path / "whole", records_in([results], grid))
    archives = [archive.path for archive in pack(grid, records_in([results], grid), tmp_path / "archives")]
    assert [path.name for path in archives] == ["trial.push-mass.dima.tar.xz", "trial.push-mass.mappo.tar.xz"]
    other = tmp_path / "other"
    shutil.copytree(results / "trial/cells/push-mass/mappo", other / "trial/cells/push-mass/mappo")
    unpack(archives, grid.name, tmp_path / "unpacked")
    for number, places in enumerate(([tmp_path / "archives"], [*archives, results], [tmp_path / "unpacked"])):
        write_tables(GridResults(grid, records_in(places, grid), HASHES), tmp_path / str(number))
        assert files_below(tmp_path / str(number)).items() <= whole.items()
    assert everything(grid, tmp_path / "made", records_in([archives[0], other], grid)) == whole
    again = [
        archive.path.read_bytes()
        for archive in pack(grid, records_in([tmp_path / "unpacked"], grid), tmp_path / "again")
    ]
    assert again == [path.read_bytes() for path in archives]


def test_another_seed_changes_one_small_file(
    grid: Grid, results: Path, write_cell: Any, tmp_path: Path
) -> None:
    for key in (KEYS[0], KEYS[1], KEYS[6]):
        write_cell(key, 31.0, 4000)
    to = tmp_path / "archives"
    first, second = (archive.path for archive in pack(grid, records_in([results], grid), to))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (first, second)}
    write_cell(KEYS[7], 20.0, 4000)
    pack(grid, records_in([results], grid), to)
    assert (first.read_bytes(), first.stat().st_mtime_ns) == before[first]
    assert read_archive(second, "trial").cells.keys() == {KEYS[6].folder, KEYS[7].folder}


def test_what_was_trained_elsewhere_is_not_lost(
    grid: Grid, results: Path, write_cell: Any, tmp_path: Path
) -> None:
    write_cell(KEYS[0], 31.0, 4000)
    (archive,) = pack(grid, records_in([results], grid), tmp_path / "archives")
    before = archive.path.read_bytes()
    shutil.rmtree(results)
    write_cell(KEYS[1], 32.0, 4000)
    with pytest.raises(UserError, match=rf"{archive.path} holds {KEYS[0].folder}, which would be lost"):
        pack(grid, records_in([results], grid), tmp_path / "archives")
    assert archive.path.read_bytes() == before
    pack(grid, records_in([results, archive.path], grid), tmp_path / "archives")
    assert read_archive(archive.path, "trial").cells.keys() == {KEYS[0].folder, KEYS[1].folder}


def test_a_cell_with_two_records_is_named_with_both_places(
    grid: Grid, results: Path, write_cell: Any, tmp_path: Path
) -> None:
    folder = write_cell(KEYS[0], 31.0, 4000)
    (archive,) = pack(grid, records_in([results], grid), tmp_path / "archives")
    (folder / "studies").mkdir()
    (folder / "studies/orders.csv").write_text(STUDY)  # a study may have been made since
    records = records_in([archive.path, results], grid)
    assert records.read(KEYS[0].folder, "studies/orders.csv") == STUDY.encode()
    assert records.place(KEYS[0].folder, "studies/orders.csv") == str(folder / "studies/orders.csv")
    assert records.place(KEYS[0].folder) == f"{KEYS[0].folder} in {archive.path}"
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"seq": 4, "kind": "scalars"}\n')
    with pytest.raises(UserError) as caught:
        records_in([archive.path, results], grid)
    places = f"{KEYS[0].folder} in {archive.path} and {folder}"
    assert (
        str(caught.value)
        == f"Two places hold different records of a cell: {places} (events.jsonl); leave one of them out."
    )


def test_records_that_no_table_takes_are_not_packed(
    grid: Grid, results: Path, write_cell: Any, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="There is no record of a cell of grid trial to pack"):
        pack(grid, records_in([results], grid), tmp_path / "archives")
    write_cell(KEYS[0], 31.0, 4000, seed=9)
    with pytest.raises(UserError, match="belongs to another cell"):
        pack(grid, records_in([results], grid), tmp_path / "archives")
    assert not (tmp_path / "archives").exists()


def test_cells_that_are_trained_or_go_on_are_left_out(
    grid: Grid, results: Path, write_cell: Any, write_status: Any, tmp_path: Path
) -> None:
    folders = [write_cell(key, 31.0, 4000) for key in KEYS[:2]]
    write_status(KEYS[2], "interrupted")
    write_status(KEYS[3], "diverged")  # that is how it ended
    records = records_in([results], grid)
    with hold(folders[0] / "lock", wait=False):
        unfinished = unfinished_cells(grid, records, [tmp_path / "none", results])
        archives = pack(grid, records, tmp_path / "archives", unfinished)
    assert unfinished == [KEYS[0], KEYS[2]]
    assert {cell for archive in archives for cell in read_archive(archive.path, "trial").cells} == {
        KEYS[1].folder,
        KEYS[3].folder,
    }
    assert unfinished_cells(grid, records, [results]) == [KEYS[2]]


@pytest.fixture
def quick_cells(results: Path, write_cell: Any) -> list[CellKey]:
    """Finished cells of the repository's own grid: two seeds of a task and method."""
    quick = load_grid("quick")
    keys = [key for key in quick.cells if key[:2] == quick.cells[0][:2]][:2]
    for key in keys:
        config = quick.resolve(key)
        budget = config.task.env_steps
        folder = write_cell(key, 1.0, budget, grid="quick", config_hash=config.digest())
        word = {
            "state": "completed",
            "env_steps": budget,
            "budget": budget,
            "latest_return": 1.0,
            "wall_seconds": 2.0,
            "updated": 0.0,
        }
        (folder / "status.json").write_text(json.dumps({**word, "host": "h"}))
        place = results / "quick/cells" / key.folder
        place.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(place)
    return keys


def test_status_and_plan_take_packed_cells_as_those_of_a_folder(
    results: Path, quick_cells: list[CellKey], tmp_path: Path
) -> None:
    quick = load_grid("quick")
    (archive,) = pack(quick, records_in([results], quick), tmp_path / "archives")
    budget = quick.task(quick_cells[0].task).env_steps
    for places in ([archive.path], [archive.path, results]):
        records = records_in(places, quick)
        expected = {key: "finished" if key in quick_cells else "new" for key in quick.cells}
        assert {plan.key: plan.fate for plan in cell_plans(quick, tmp_path / "none", records)} == expected
        assert cell_statuses(quick, records)[0][:5] == (quick_cells[0], "completed", budget, budget, 1.0)
    plan = make_plan(quick, tmp_path / "none", records_in([archive.path], quick))
    assert [(cell.key, cell.size) for cell in plan.measured] == [
        (key, None) for key in quick_cells
    ]  # without checkpoints no size is known


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["mongodb", "."], "--from takes folders and archives together, or one database alone."),
        (["none", "."], "There is no folder or archive none."),
        (["none.tar.xz"], "There is no archive none.tar.xz."),
        (["README.md"], "README.md is no folder and no archive."),
    ],
)
def test_places_that_cannot_be_used_are_refused_in_one_sentence(
    capsys: pytest.CaptureFixture[str], places: list[str], message: str
) -> None:
    assert main(["status", "--grid", "quick", "--from", *places]) == 2
    assert capsys.readouterr().err == f"dima: {message}\n"


def test_the_commands_pack_and_unpack_and_say_what_they_did(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], quick_cells: list[CellKey]
) -> None:
    first, second = quick_cells
    with hold(results / "quick/cells" / second.folder / "lock", wait=False):
        assert (
            main(["pack", "--grid", "quick", "--from", str(results), "--to", str(tmp_path / "records")]) == 0
        )
    said = capsys.readouterr()
    archive = tmp_path / f"records/quick.{first.task}.{first.method}.tar.xz"
    assert said.out.startswith(f"{archive}: 1 cell, ")
    assert said.err == f"dima: {second.folder} is not finished and was left out.\n"
    unpacking = ["unpack", "--grid", "quick", "--from", str(archive), "--to", str(tmp_path / "other")]
    assert main(unpacking) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'other/quick'}: 1 cell restored, 0 already there\n"
    (tmp_path / "other/quick/cells" / first.folder / "summary.json").write_text("{}")
    assert main(unpacking) == 2
    assert "summary.json differs from the archive: nothing was written" in capsys.readouterr().err
    assert main(["unpack", "--grid", "cpu", "--from", str(archive), "--to", str(tmp_path / "other")]) == 2
    assert capsys.readouterr().err == f"dima: {archive} holds records of grid quick, not of cpu.\n"


def test_a_folder_of_results_is_told_from_one_of_archives(
    results: Path, quick_cells: list[CellKey], tmp_path: Path
) -> None:
    pack(load_grid("quick"), records_in([results], load_grid("quick")), tmp_path / "archives")
    assert quick_cells
    assert is_of_results(results, "quick")
    assert is_of_results(tmp_path / "nothing yet", "quick")
    assert not is_of_results(tmp_path / "archives", "quick")
    shutil.copytree(results, tmp_path / "archives", dirs_exist_ok=True)
    assert is_of_results(tmp_path / "archives", "quick")


@pytest.mark.parametrize("command", ["tables", "figures", "report"])
def test_a_folder_that_is_not_there_has_no_tables(command: str, tmp_path: Path, capsys: Any) -> None:
    nowhere = tmp_path / "nowhere"
    assert main([command, "--grid", "quick", "--from", str(nowhere)]) == 2
    assert capsys.readouterr().err == f"dima: There is no folder {nowhere}.\n"
    assert not nowhere.exists()
