"""The paper's published numbers, read from `workflow/reference`; no code writes there."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dima.errors import UserError

REFERENCE_DIR = Path("workflow/reference")
PAPER_SUITES = ("mamujoco", "bidexhands")
RETURN_TABLES = ("final_returns", "ablation_returns")


class PaperNumber(NamedTuple):
    """A published return after `env_steps`: mean and standard deviation over `runs`; all three None where the paper has none.

    `text` has the digits as published, `mean ± std (runs)`.
    """

    text: str
    env_steps: int
    mean: float | None
    std: float | None
    runs: int | None
    source: str


PaperNumbers = Mapping[tuple[str, str], Sequence[PaperNumber]]


def read_paper_numbers(experiment: str, reference_dir: Path = REFERENCE_DIR) -> PaperNumbers:
    """The numbers of one table by (task, method), smaller budgets first; none for an experiment that is no table of returns.

    Raises:
        UserError: the file is absent.
    """
    if experiment not in RETURN_TABLES:
        return {}
    path = reference_dir / f"{experiment}.csv"
    if not path.is_file():
        raise UserError(f"The paper's numbers are not at {path}: run this from the repository's root.")
    numbers: dict[tuple[str, str], list[PaperNumber]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            numbers[line["task"], line["method"]].append(_number(line))
    return {key: sorted(values, key=lambda number: number.env_steps) for key, values in numbers.items()}


def number_beside(numbers: Sequence[PaperNumber], env_steps: int) -> PaperNumber | None:
    """The number to print beside a return after `env_steps`: the one of the same budget, else of the next larger, else None."""
    return next((number for number in numbers if number.env_steps >= env_steps), None)


def _number(line: Mapping[str, str]) -> PaperNumber:
    mean, std, runs = line["mean"], line["std"], line["n_seeds"] if "n_seeds" in line else line["n_runs"]
    if not mean:
        return PaperNumber("", int(line["env_steps"]), None, None, None, line["source"])
    return PaperNumber(f"{mean} ± {std} ({runs})", int(line["env_steps"]), float(mean), float(std), int(runs), line["source"])
