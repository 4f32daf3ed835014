"""The verdict on a number against the paper's: the first of these words that holds.

1. `not run`: no planned seed has left a record.
2. `partial n=0/k`: some started, none completed; there is nothing to compare yet.
3. `not comparable`: the seeds mix engines or physics (then there is no mean either), the paper has no number,
   the physics differs from the paper's, or the budget is smaller than the paper's.
4. `partial n=i/k`: fewer completed seeds than planned, or than runs behind the paper's number.
5. `reproduced`: |ours - paper's mean| <= paper's standard deviation; else `above` or `below`.
"""

from __future__ import annotations

from typing import NamedTuple

from dima.analysis.reference import PaperNumber
from dima.analysis.returns.sample import Sample


class Verdict(NamedTuple):
    """The word, the reason where it needs one, and our mean minus the paper's where they may be compared."""

    word: str
    reason: str = ""
    difference: float | None = None


def compare(sample: Sample, paper: PaperNumber | None, comparable_task: bool) -> Verdict:
    """The verdict on a sample.

    Args:
        sample: our runs.
        paper: the published number of this budget or the next larger one, None where there is none.
        comparable_task: whether the task's physics is the paper's.
    """
    if not sample.started:
        return Verdict("not run")
    missing = sample.missing
    count = len(sample.returns)
    if count == 0:
        return Verdict(f"partial n=0/{sample.planned}", missing)
    obstacle = sample.mixture or _obstacle(sample, paper, comparable_task)
    if obstacle or paper is None or paper.mean is None or paper.std is None:
        return Verdict("not comparable", _join(obstacle, missing))
    difference = float(sample.values.mean()) - paper.mean
    paper_runs = paper.runs or 0
    if count < max(sample.planned, paper_runs):
        fewer = f"the paper's number is of {paper_runs} runs" if sample.planned < paper_runs else ""
        return Verdict(
            f"partial n={count}/{max(sample.planned, paper_runs)}", _join(fewer, missing), difference
        )
    if abs(difference) <= paper.std + 1e-9:  # decimals are not exact in binary: 264.0 - 259.9 > 4.1
        return Verdict("reproduced", missing, difference)
    return Verdict("above" if difference > 0 else "below", missing, difference)


def _obstacle(sample: Sample, paper: PaperNumber | None, comparable_task: bool) -> str:
    if paper is None:
        return "no number in the paper"
    if paper.mean is None:
        return f"no number in the paper: {paper.source}"
    if not comparable_task:
        return f"other physics: {next(iter(sample.summaries.values())).lineage}"
    if sample.env_steps < paper.env_steps:
        return f"budget {sample.env_steps:,} of the paper's {paper.env_steps:,} env steps"
    return ""


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
