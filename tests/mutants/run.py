"""Runs the tests of mutants, each in a copy of the repository."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from .places import Mutant, MutantError, listed_files, mutated, node_ids

CAUGHT, SURVIVED, NOT_RUN = "caught", "SURVIVED", "TESTS DID NOT RUN"
LIMIT_SECONDS = 600.0
MONGO_SERVER = ".venv-mongo"


class Outcome(NamedTuple):
    """What became of a mutant: the word; the test that caught it, or why none ran; and how long that took."""

    mutant: Mutant
    word: str
    told: str
    seconds: float


class Tested(NamedTuple):
    """What a run of tests said; `fault` where it did not come to an end."""

    passed: set[str]
    failed: list[str]
    fault: str


def copy_project(root: Path, folder: Path) -> Path:
    """A copy of all that is tracked or not ignored, with the server that tests of the database start; links
    stay links."""
    for path in listed_files(root):
        target = folder / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
    if (root / MONGO_SERVER).exists():
        (folder / MONGO_SERVER).symlink_to(root / MONGO_SERVER)
    return folder


def run_tests(copy: Path, tests: Sequence[str], *options: str, limit: float = LIMIT_SECONDS) -> Tested:
    """The tests of the copy, given by node ids, against its own code, also in processes that they start."""
    report = copy / "mutant-report.xml"
    report.unlink(missing_ok=True)
    everything = ["--slow", "--every-proof", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *everything, f"--junit-xml={report}", *options, *tests]
    # Python takes a compiled module for current by the source's size and second, and a mutant may share both
    # with the original
    environ = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command,
        cwd=copy,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=limit)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return Tested(set(), [], f"no end within {limit:.0f} s")
    if process.returncode not in (0, 1) or not report.exists():
        lines = printed.splitlines()
        return Tested(
            set(), [], " ".join(([line[1:].strip() for line in lines if line.startswith("E ")] or lines)[-1:])
        )
    return _read_report(report)


def _read_report(report: Path) -> Tested:
    """Names of tests without their parameters that passed, at least once, and names of those that failed."""
    passed, failed = set(), []
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - written by our own tests
        name = case.attrib["name"]
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif case.find("skipped") is None:
            passed.add(name.partition("[")[0])
    return Tested(passed, failed, "")


def refuse_failing(copy: Path, tests: Sequence[str], jobs: int) -> None:
    """Run all tests once as the code is. Raises MutantError where one fails, or none of its cases ran: it
    could catch nothing."""
    tested = run_tests(copy, tests, "-n", str(jobs), limit=3 * LIMIT_SECONDS)
    if tested.fault or tested.failed:
        raise MutantError(
            f"Without a mutant the tests do not pass: {tested.fault or ', '.join(tested.failed)}."
        )
    idle = [test for test in tests if test.rpartition("::")[2] not in tested.passed]
    if idle:
        raise MutantError(f"Tests that do not run here can catch nothing: {', '.join(idle)}.")


def try_mutant(root: Path, copy: Path, mutant: Mutant) -> Outcome:
    """Change the copy, run the mutant's tests up to the first that fails, and change it back."""
    original, text = mutated(root, mutant)
    path = copy / original.relative_to(root)
    began = time.monotonic()
    try:
        path.write_text(text, encoding="utf-8")
        tested = run_tests(copy, node_ids(root, mutant), "-n", "0", "-x")
    finally:
        shutil.copy2(original, path)
    word = CAUGHT if tested.failed else NOT_RUN if tested.fault or not tested.passed else SURVIVED
    return Outcome(
        mutant, word, tested.failed[0] if tested.failed else tested.fault, time.monotonic() - began
    )


def try_all(root: Path, folder: Path, mutants: Sequence[Mutant], jobs: int) -> Iterator[Outcome]:
    """The outcome of each, in their order, from as many copies in `folder` at once as there are jobs.

    Raises:
        MutantError: a mutant does not fit the code, or a test does not pass without it.
    """
    for mutant in mutants:
        mutated(root, mutant)
    tests = sorted({test for mutant in mutants for test in node_ids(root, mutant)})
    copies: SimpleQueue[Path] = SimpleQueue()
    for number in range(jobs):
        copies.put(copy_project(root, folder / str(number)))
    refuse_failing(folder / "0", tests, jobs)

    def in_a_copy(mutant: Mutant) -> Outcome:
        copy = copies.get()
        try:
            return try_mutant(root, copy, mutant)
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(in_a_copy, mutants)
