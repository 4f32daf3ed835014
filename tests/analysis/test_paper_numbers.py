"""The reference files hold what the paper's slides print."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from dima.analysis.reference import PaperNumber, number_for, read_paper_numbers, read_prediction_errors
from dima.errors import UserError

REPOSITORY = Path(__file__).parents[2]
PAPER = REPOSITORY.parent / "shared" / "paper"
METHODS = ("dima", "marie", "mamba", "hasac", "happo", "mappo")
NUMBER = re.compile(r"([\d.]+)\}?\s*_\{\\pm ([\d.]+)\}")
NAMES = {
    "BottleCap": "bottle-cap",
    "DoorOpenInward": "door-open-inward",
    "DoorOpenOutward": "door-open-outward",
    "Pen": "pen",
}

needs_paper = pytest.mark.skipif(not PAPER.is_dir(), reason="the paper's text is not beside this repository")


def slide_lines() -> list[list[str]]:
    return [line.split("\t") for line in (PAPER / "slides.txt").read_text(encoding="utf-8").splitlines()]


def rows_of(name: str) -> list[dict[str, str]]:
    with (REPOSITORY / "workflow" / "reference" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@needs_paper
def test_final_returns_are_those_of_the_slides() -> None:
    printed: dict[tuple[str, str], tuple[str, str]] = {}
    seen: Counter[str] = Counter()
    for label, *cells in slide_lines():
        if not (re.fullmatch(r"(Ant|HalfCheetah|Walker2d)-\dx\d", label) or label in NAMES) or len(
            cells
        ) < len(METHODS):
            continue
        seen[label] += 1
        # the second row called BottleCap is Pen's
        task = "pen" if seen[label] == 2 else NAMES.get(label, label.lower())
        for method, cell in zip(METHODS, cells[-len(METHODS) :], strict=True):
            printed[task, method] = NUMBER.findall(cell)[0] if cell != "-" else ("", "")
    assert len(printed) == 66
    assert {
        (row["task"], row["method"]): (row["mean"], row["std"]) for row in rows_of("final_returns")
    } == printed


@needs_paper
def test_ablation_returns_are_those_of_the_slides() -> None:
    columns = {
        5: [("bottle-cap", steps) for steps in ("100000", "150000", "200000", "250000", "300000")],
        2: [("door-open-outward", "300000"), ("door-open-inward", "300000")],
    }
    methods = {"Joint": "dima-joint", "Sequential (Ours)": "dima"}
    printed = {
        (*place, methods[label]): NUMBER.findall(cell)[0]
        for label, *cells in slide_lines()
        if label in methods and len(cells) in columns
        for place, cell in zip(columns[len(cells)], cells, strict=True)
    }
    assert len(printed) == 14
    assert {
        (row["task"], row["env_steps"], row["method"]): (row["mean"], row["std"])
        for row in rows_of("ablation_returns")
    } == printed


@needs_paper
def test_prediction_errors_are_those_of_the_slides() -> None:
    printed = {
        (NAMES[line[0]], method, horizon): number
        for line in slide_lines()
        if line[0] in NAMES and line[1:2] == ["Sequential (Ours) Joint"]
        for horizon, cell in zip(("15", "20"), line[2:4], strict=True)
        for method, number in zip(("dima", "dima-joint"), NUMBER.findall(cell), strict=True)
    }
    assert len(printed) == 12
    assert {
        (row["task"], row["method"], row["horizon"]): (row["mean"], row["std"])
        for row in rows_of("prediction_error")
    } == printed


def test_numbers_keep_their_digits_and_their_origin() -> None:
    final, ablation = read_paper_numbers("final_returns"), read_paper_numbers("ablation_returns")
    assert final["halfcheetah-2x3", "mappo"] == [
        PaperNumber("3196 ± 75 (4)", 1_000_000, 3196.0, 75.0, 4, "Table 2")
    ]
    assert final["pen", "hasac"][0].text == "0.0 ± 0.0 (4)"
    assert final["bottle-cap", "marie"] == [
        PaperNumber("", 300_000, None, None, None, "Table 2 (out of memory)")
    ]
    assert [number.env_steps for number in ablation["bottle-cap", "dima"]] == [
        100_000,
        150_000,
        200_000,
        250_000,
        300_000,
    ]
    assert ablation["door-open-inward", "dima-joint"][0].text == "235.1 ± 68.1 (8)"


def test_the_number_for_ours_is_of_the_same_budget_or_the_next_larger() -> None:
    numbers = read_paper_numbers("ablation_returns")["bottle-cap", "dima"]
    beside = {steps: number_for(numbers, steps) for steps in (50_000, 150_000, 150_001, 300_001)}
    assert {steps: number and number.mean for steps, number in beside.items()} == {
        50_000: 251.8,
        150_000: 248.2,
        150_001: 246.3,
        300_001: None,
    }


def test_other_experiments_have_no_numbers_and_absent_files_are_named(tmp_path: Path) -> None:
    assert read_paper_numbers("smoke") == {}
    with pytest.raises(UserError, match=r"final_returns\.csv"):
        read_paper_numbers("final_returns", tmp_path)


HEADER = "task,env_steps,method,mean,std,n_runs,source"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            [f"{HEADER},wins", "pen,1000,dima,1,2,3,Table 2,4"],
            "has an unknown column 'wins'; its columns are task, env_steps, method, ",
        ),
        (
            ["task,env_steps,method,mean,n_runs,source", "pen,1000,dima,1,3,Table 2"],
            "line 2: there is no std",
        ),
        ([HEADER, "pen,1000,dima,1,2,3"], "line 2: there is no source"),
        ([HEADER, "pen,1000,dima,1,2,3,Table 2,more"], "line 2: there are more values than columns"),
        (
            [HEADER, "pen,1000,dima,1,2,3,Table 2", "pen,1000,mamba,4881O,2,3,Table 2"],
            "line 3: '4881O' is no mean",
        ),
        ([HEADER, "pen,1000,dima,1,,3,Table 2"], "line 2: a part of the number is missing"),
        (
            [
                HEADER,
                "pen,1000,dima,1,2,3,Table 2",
                "pen,2000,dima,1,2,3,Table 2",
                "pen,1000,dima,9,2,3,Table 2",
            ],
            "line 4: there is a second number of pen, dima, 1000, the first is in line 2",
        ),
    ],
)
def test_a_reference_file_that_is_not_in_order_is_refused_by_name(
    tmp_path: Path, lines: list[str], says: str
) -> None:
    (tmp_path / "ablation_returns.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    with pytest.raises(UserError) as refusal:
        read_paper_numbers("ablation_returns", tmp_path)
    assert str(tmp_path / "ablation_returns.csv") in str(refusal.value)
    assert says in str(refusal.value)


def test_prediction_errors_keep_their_digits_and_their_order() -> None:
    first, *_, last = read_prediction_errors()
    assert first == ("door-open-outward", "dima", 15, "5.333 ± 0.273", 5.333, 0.273, "slides Table 8")
    assert last[:4] == ("pen", "dima-joint", 20, "8.947 ± 2.322")
    assert len(read_prediction_errors()) == 12
