"""The paper's published numbers, read from `workflow/reference`; no code writes there."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dima.errors import UserError

REFERENCE_DIR = Path("workflow/reference")
PAPER_SUITES = ("mamujoco", "bidexhands")
SUITE_TITLES = {"toy": "toy", "mamujoco": "MAMuJoCo", "bidexhands": "Bi-DexHands"}
"""The names of suites in titles."""
PREDICTION_TASKS = ("door-open-outward", "door-open-inward", "pen")
PREDICTION_METHODS = ("dima", "dima-joint")
RETURN_TABLES = ("final_returns", "ablation_returns")


class PaperNumber(NamedTuple):
    """A published return after `env_steps`; mean, std and runs are None where the paper has none.

    `text` has the digits as published, `mean ± std (runs)`.
    """

    text: str
    env_steps: int
    mean: float | None
    std: float | None
    runs: int | None
    source: str


_TEXTS = ("suite", "task", "method", "source")
_NUMBER = re.compile(r"(\d+(\.\d+)?)?")  # or nothing, where the paper has none
PaperNumbers = Mapping[tuple[str, str], Sequence[PaperNumber]]


def read_paper_numbers(experiment: str, reference_dir: Path = REFERENCE_DIR) -> PaperNumbers:
    """The numbers of an experiment by (task, method), smaller budgets first; empty if it is no table.

    Raises:
        UserError: the file is missing or malformed.
    """
    if experiment not in RETURN_TABLES:
        return {}
    numbers: dict[tuple[str, str], list[PaperNumber]] = defaultdict(list)
    for line in _lines(reference_dir / f"{experiment}.csv", _COLUMNS[experiment]):
        numbers[line["task"], line["method"]].append(_number(line))
    return {key: sorted(values, key=lambda number: number.env_steps) for key, values in numbers.items()}


class PublishedError(NamedTuple):
    """A published prediction error; the paper does not say over what `std` is. `text` is as published."""

    task: str
    method: str
    horizon: int
    text: str
    mean: float
    std: float
    source: str


def read_prediction_errors(reference_dir: Path = REFERENCE_DIR) -> list[PublishedError]:
    """The published prediction errors in the order of the file. Raises UserError as `read_paper_numbers`."""
    columns = ("task", "method", "horizon", "mean", "std", "source")
    return [
        PublishedError(task, method, int(horizon), f"{mean} ± {std}", float(mean), float(std), source)
        for line in _lines(reference_dir / "prediction_error.csv", columns)
        for task, method, horizon, mean, std, source in [[line[name] for name in columns]]
    ]


def number_for(numbers: Sequence[PaperNumber], env_steps: int) -> PaperNumber | None:
    """The number to compare with a return after `env_steps`: of the same or the next larger budget."""
    return next((number for number in numbers if number.env_steps >= env_steps), None)


_COLUMNS = {
    "final_returns": ("suite", "task", "env_steps", "method", "mean", "std", "n_seeds", "source"),
    "ablation_returns": ("task", "env_steps", "method", "mean", "std", "n_runs", "source"),
}


def _lines(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The lines of a reference file. Raises UserError for other columns, wrong numbers and second rows."""
    if not path.is_file():
        raise UserError(f"The paper's numbers are not at {path}: run this from the repository's root.")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        lines = list(reader)
    for name in reader.fieldnames or ():
        if name not in columns:
            raise UserError(f"{path} has an unknown column {name!r}; its columns are {', '.join(columns)}.")
    seen: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(lines, 2):
        for name in columns:
            text = line.get(name)
            if text is None:
                raise UserError(f"{path}, line {number}: there is no {name}.")
            if not (name in _TEXTS or _NUMBER.fullmatch(text)):
                raise UserError(f"{path}, line {number}: {text!r} is no {name}.")
        if None in line:
            raise UserError(f"{path}, line {number}: there are more values than columns.")
        if len({bool(line[name]) for name in columns if name in ("mean", "std", "n_seeds", "n_runs")}) > 1:
            raise UserError(f"{path}, line {number}: a part of the number is missing.")
        key = tuple(line[name] for name in ("task", "method", "env_steps", "horizon") if name in columns)
        if seen.setdefault(key, number) != number:
            second = f"there is a second number of {', '.join(key)}"
            raise UserError(f"{path}, line {number}: {second}, the first is in line {seen[key]}.")
    return lines


def _number(line: Mapping[str, str]) -> PaperNumber:
    mean, std, runs = line["mean"], line["std"], line["n_seeds"] if "n_seeds" in line else line["n_runs"]
    if not mean:
        return PaperNumber("", int(line["env_steps"]), None, None, None, line["source"])
    return PaperNumber(
        f"{mean} ± {std} ({runs})", int(line["env_steps"]), float(mean), float(std), int(runs), line["source"]
    )
