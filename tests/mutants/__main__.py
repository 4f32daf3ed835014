"""`python -m tests.mutants [NAME...]`: tries the mutants of these names, or all, and then writes `result.md`.
1: one was not caught."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dima.record.provenance import provenance

from .places import Mutant, MutantError, read_mutants
from .run import CAUGHT, Outcome, try_all

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
JOBS = max(2, os.cpu_count() or 1)


def main(names: Sequence[str]) -> int:
    """0 where all were caught."""
    began = time.monotonic()
    outcomes: list[Outcome] = []
    try:
        with TemporaryDirectory() as folder:
            for outcome in try_all(ROOT, Path(folder), _chosen(names), JOBS):
                print(
                    f"{outcome.word} {outcome.mutant.name} ({outcome.seconds:.0f} s) {outcome.told}",
                    flush=True,
                )
                outcomes.append(outcome)
    except MutantError as error:
        print(error, file=sys.stderr)
        return 2
    caught = sum(outcome.word == CAUGHT for outcome in outcomes)
    print(f"{caught} of {len(outcomes)} mutants caught in {time.monotonic() - began:.0f} s")
    if not names:
        (HERE / "result.md").write_text(_result(outcomes, caught, time.monotonic() - began), encoding="utf-8")
    return 0 if caught == len(outcomes) else 1


def _chosen(names: Sequence[str]) -> list[Mutant]:
    mutants = {mutant.name: mutant for mutant in read_mutants(HERE)}
    unknown = [name for name in names if name not in mutants]
    if unknown:
        raise MutantError(f"There is no mutant {', '.join(unknown)}; there are {', '.join(mutants)}.")
    return [mutants[name] for name in names] or list(mutants.values())


def _result(outcomes: Sequence[Outcome], caught: int, seconds: float) -> str:
    origin = provenance("cpu", None)
    dirty = " and changes" if origin["dirty"] else ""
    lines = [
        "# Mutants",
        "",
        f"`python -m tests.mutants`: {caught} of {len(outcomes)} caught in {seconds:.0f} s,"
        f" {JOBS} at a time.",
        f"Commit {origin['commit']}{dirty}; {origin['hardware']};"
        f" Python {origin['python']}, torch {origin['versions']['torch']}.",
        "",
        "| mutant | in | what it does | outcome | by | seconds |",
        "|---|---|---|---|---|---:|",
        *(
            f"| {one.mutant.name} | `{one.mutant.place}` | {one.mutant.harm}"
            f" | {one.word} | {one.told} | {one.seconds:.0f} |"
            for one in outcomes
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
