"""Records are read as they are, and refused by name where they cannot be trusted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dima.analysis.records.load import load_cells, read_curve
from dima.analysis.results import GridResults
from dima.analysis.tables.write import write_tables
from dima.config.grid import CellKey
from dima.errors import UserError

KEYS = [CellKey("push-mass", "dima", seed) for seed in range(1, 7)]


@pytest.fixture
def grid(make_grid: Any) -> Any:
    return make_grid({"final_returns": [(["push-mass"], ["dima"], range(1, 7))]})


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_every_state_is_told_apart(grid: Any, results: Path, write_cell: Any, write_status: Any) -> None:
    write_cell(KEYS[0], 31.0, 4000)
    for key, state in zip(KEYS[1:5], ("diverged", "failed", "interrupted", "running"), strict=True):
        write_status(key, state)
    records = load_cells(grid, KEYS, results)
    assert [record.state for record in records] == [
        "completed",
        "diverged",
        "failed",
        "interrupted",
        "running",
        "not run",
    ]
    assert [record.key for record in records] == KEYS
    assert records[0].summary is not None
    assert records[0].summary.final.mean == 31.0
    assert all(record.summary is None for record in records[1:])


def test_a_cell_that_lost_its_summary_is_not_completed(grid: Any, results: Path, write_status: Any) -> None:
    write_status(KEYS[0], "completed")
    assert load_cells(grid, KEYS[:1], results)[0].state == "interrupted"


def test_a_summary_of_another_configuration_is_stale(grid: Any, results: Path, write_cell: Any) -> None:
    write_cell(KEYS[0], 31.0, 4000)
    write_cell(KEYS[1], 31.0, 2000)
    write_cell(KEYS[2], 31.0, 4000, config_hash="0ld")
    hashes = {key: "c0ffee" for key in KEYS}
    assert [record.state for record in load_cells(grid, KEYS[:3], results, hashes)] == [
        "completed",
        "stale",
        "stale",
    ]
    assert [record.state for record in load_cells(grid, KEYS[:3], results)] == [
        "completed",
        "stale",
        "completed",
    ]


@pytest.mark.parametrize("change", [{"grid": "quick"}, {"task": "pen"}, {"method": "mappo"}, {"seed": 2}])
def test_a_summary_of_another_cell_is_refused(
    grid: Any, results: Path, write_cell: Any, change: dict[str, Any]
) -> None:
    rewrite(write_cell(KEYS[0], 31.0, 4000), **change)
    with pytest.raises(
        UserError, match=rf"seed-1/summary\.json belongs to another cell.*{next(iter(change.values()))}"
    ):
        load_cells(grid, KEYS, results)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"format": 1, "grid": "tri', "Invalid JSON"),
        ("[1, 2]", "object"),
        ('{"format": 2}', "format"),
        ("", "Invalid JSON"),
    ],
)
def test_a_torn_or_foreign_summary_is_refused(
    grid: Any, results: Path, write_cell: Any, text: str, says: str
) -> None:
    (write_cell(KEYS[0], 31.0, 4000) / "summary.json").write_text(text)
    with pytest.raises(UserError, match=rf"seed-1/summary\.json is not a record of format 1: .*{says}"):
        load_cells(grid, KEYS, results)


@pytest.mark.parametrize("mean", ["NaN", "Infinity", '"31.0"', "null"])
def test_a_return_that_is_no_finite_number_is_refused(
    grid: Any, results: Path, write_cell: Any, mean: str
) -> None:
    path = write_cell(KEYS[0], 31.5, 4000) / "summary.json"
    path.write_text(path.read_text().replace('"mean": 31.5', f'"mean": {mean}'))
    with pytest.raises(UserError, match=r"final\.mean"):
        load_cells(grid, KEYS, results)


def test_a_status_of_unknown_state_is_refused(grid: Any, results: Path, write_status: Any) -> None:
    write_status(KEYS[0], "asleep")
    with pytest.raises(UserError, match=r"status\.json is not a record of format 1: state"):
        load_cells(grid, KEYS, results)


def test_two_records_of_one_cell_are_refused(grid: Any, results: Path, write_cell: Any) -> None:
    folder = write_cell(KEYS[0], 31.0, 4000)
    shutil.copytree(folder, folder.with_name("seed-1-copy"))
    with pytest.raises(UserError, match=r"Two folders claim the cell push-mass/dima/seed-1: .*seed-1-copy"):
        load_cells(grid, KEYS, results)


def test_a_cell_listed_twice_is_refused(grid: Any, results: Path) -> None:
    with pytest.raises(UserError, match="lists a cell twice: push-mass/dima/seed-1"):
        load_cells(grid, [KEYS[0], KEYS[0]], results)


def test_seeds_the_grid_does_not_plan_are_passed_over(grid: Any, results: Path, write_cell: Any) -> None:
    write_cell(CellKey("push-mass", "dima", 9), 31.0, 4000)
    assert {record.state for record in load_cells(grid, KEYS, results)} == {"not run"}


def test_a_curve_averages_the_episodes_of_each_evaluation(grid: Any, results: Path, write_cell: Any) -> None:
    write_cell(KEYS[0], 31.0, 4000, curve={4000: [30.0, 32.0], 0: [1.0, -4.0]})
    assert read_curve(load_cells(grid, KEYS[:1], results)[0]) == {0: -1.5, 4000: 31.0}


def test_a_curve_leaves_out_what_a_rewind_superseded(grid: Any, results: Path, write_cell: Any) -> None:
    folder = write_cell(KEYS[0], 31.0, 4000, curve={0: [1.0], 4000: [99.0]})
    again = {
        "kind": "evaluation",
        "grid_step": 4000,
        "env_steps": 4000,
        "episode": 0,
        "return": 31.0,
        "length": 1,
        "success": None,
    }
    with (folder / "events.jsonl").open("a") as file:
        file.write(json.dumps({"seq": 2, "kind": "rewind", "to": 1, "wall_seconds": 2.0}) + "\n")
        file.write(json.dumps({"seq": 3, "wall_seconds": 3.0} | again) + "\n")
    assert read_curve(load_cells(grid, KEYS[:1], results)[0]) == {0: 1.0, 4000: 31.0}


def test_a_summary_whose_last_evaluation_is_not_at_the_budget_is_refused(
    grid: Any, results: Path, write_cell: Any
) -> None:
    path = write_cell(KEYS[0], 31.0, 4000) / "summary.json"
    path.write_text(path.read_text().replace('"grid_step": 4000', '"grid_step": 3600'))
    with pytest.raises(
        UserError, match=r"seed-1/summary\.json says completed, but its last evaluation is at 3600 of 4000"
    ):
        load_cells(grid, KEYS, results)


@pytest.mark.parametrize("curve", [{0: [31.0]}, {4000: [31.0, 31.1]}])
def test_events_that_do_not_end_as_the_summary_says_are_refused(
    grid: Any, results: Path, write_cell: Any, curve: dict
) -> None:
    write_cell(KEYS[0], 31.0, 4000, curve=curve)
    with pytest.raises(UserError, match=r"seed-1/events\.jsonl does not hold the final evaluation"):
        read_curve(load_cells(grid, KEYS[:1], results)[0])


def test_a_summary_without_events_is_refused(grid: Any, results: Path, write_cell: Any) -> None:
    (write_cell(KEYS[0], 31.0, 4000) / "events.jsonl").unlink()
    with pytest.raises(UserError, match=r"seed-1/events\.jsonl does not hold the final evaluation"):
        read_curve(load_cells(grid, KEYS[:1], results)[0])


def test_an_evaluation_without_a_return_is_refused(grid: Any, results: Path, write_cell: Any) -> None:
    folder = write_cell(KEYS[0], 31.0, 4000)
    (folder / "events.jsonl").write_text(
        '{"seq": 0, "kind": "evaluation", "grid_step": 0, "return": null, "wall_seconds": 0.0}\n'
    )
    with pytest.raises(UserError, match="without a step or a return"):
        read_curve(load_cells(grid, KEYS[:1], results)[0])


def test_a_torn_event_log_is_refused_where_a_table_needs_it(
    grid: Any, results: Path, write_cell: Any
) -> None:
    folder = write_cell(KEYS[0], 31.0, 4000)
    path = folder / "events.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([first[:60], *others, ""]))
    with pytest.raises(UserError, match=r"Line 1 of .*seed-1/events\.jsonl is not event 0 of a run"):
        write_tables(GridResults(grid, results), results)
    assert not (results / "trial/tables").exists()


def test_the_event_log_of_another_cell_is_refused(grid: Any, results: Path, write_cell: Any) -> None:
    first, second = (write_cell(key, 31.0 + key.seed, 4000) for key in KEYS[:2])
    shutil.copy(first / "events.jsonl", second / "events.jsonl")
    with pytest.raises(
        UserError,
        match=r"seed-2/events\.jsonl does not hold the final evaluation of its summary",
    ):
        write_tables(GridResults(grid, results), results)
