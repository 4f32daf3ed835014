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
"""As titles name them."""
PREDICTION_TASKS = ("door-open-outward", "door-open-inward", "pen")
PREDICTION_METHODS = ("dima", "dima-joint")
RETURN_TABLES = ("final_returns", "ablation_returns")


class PaperNumber(NamedTuple):
    """A published return after `env_steps`: mean and standard deviation over `runs`.

    All three None where the paper has none.

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
    """The numbers of one table by (task, method), smaller budgets first.

    None for an experiment that is no table of returns.

    Raises:
        UserError: the file is absent or not in order.
    """
    if experiment not in RETURN_TABLES:
        return {}
    numbers: dict[tuple[str, str], list[PaperNumber]] = defaultdict(list)
    for line in _lines(reference_dir / f"{experiment}.csv", _COLUMNS[experiment]):
        numbers[line["task"], line["method"]].append(_number(line))
    return {key: sorted(values, key=lambda number: number.env_steps) for key, values in numbers.items()}


class PublishedError(NamedTuple):
    """A published prediction error at a horizon. What it deviates over the paper does not tell.

    `text` has the digits as published.
    """

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
        PublishedError(
            line["task"],
            line["method"],
            int(line["horizon"]),
            f"{line['mean']} ± {line['std']}",
            float(line["mean"]),
            float(line["std"]),
            line["source"],
        )
        for line in _lines(reference_dir / "prediction_error.csv", columns)
    ]


def number_beside(numbers: Sequence[PaperNumber], env_steps: int) -> PaperNumber | None:
    """The number to print beside a return after `env_steps`.

    The one of the same budget, else of the next larger, else None.
    """
    return next((number for number in numbers if number.env_steps >= env_steps), None)


_COLUMNS = {
    "final_returns": ("suite", "task", "env_steps", "method", "mean", "std", "n_seeds", "source"),
    "ablation_returns": ("task", "env_steps", "method", "mean", "std", "n_runs", "source"),
}


def _lines(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The lines of a reference file, which must have exactly these columns and nothing that is no number
    where one belongs.

    Raises:
        UserError: the file is absent or anything else.
    """
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
            if text is None or not (name in _TEXTS or _NUMBER.fullmatch(text)):
                raise UserError(
                    f"{path}, line {number}: {f'{text!r} is no {name}' if text is not None else f'there is no {name}'}."
                )
        if None in line:
            raise UserError(f"{path}, line {number}: there are more values than columns.")
        if len({bool(line[name]) for name in columns if name in ("mean", "std", "n_seeds", "n_runs")}) > 1:
            raise UserError(f"{path}, line {number}: a part of the number is missing.")
        key = tuple(line[name] for name in ("task", "method", "env_steps", "horizon") if name in columns)
        if seen.setdefault(key, number) != number:
            raise UserError(
                f"{path}, line {number}: there is a second number of {', '.join(key)}, the first is in line {seen[key]}."
            )
    return lines


def _number(line: Mapping[str, str]) -> PaperNumber:
    mean, std, runs = line["mean"], line["std"], line["n_seeds"] if "n_seeds" in line else line["n_runs"]
    if not mean:
        return PaperNumber("", int(line["env_steps"]), None, None, None, line["source"])
    return PaperNumber(
        f"{mean} ± {std} ({runs})", int(line["env_steps"]), float(mean), float(std), int(runs), line["source"]
    )
