"""A cell that the program of a checkout computes from a private copy, recorded while it runs.

None of these programs can continue. An interrupted cell begins again in the same attempt: what it repeats is
in the log already, and where it differs a `rewind` line says so, as for any cell without a checkpoint.
"""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from dima.baselines.checkout import guard
from dima.baselines.checkout.interpreter import environment_of
from dima.baselines.checkout.program import UnreadableError, UpstreamEvaluation
from dima.baselines.checkout.upstream import Upstream
from dima.errors import CrashedError, DivergedError
from dima.record.run_record import EvaluationEntry, RunRecord

SECONDS_BETWEEN_LOOKS = 1.0
LAST_LINES = 10


def run_upstream(upstream: Upstream, record: RunRecord) -> None:
    """Run the program to the cell's budget and write the summary.

    Raises:
        UserError: the checkout cannot be copied.
        DivergedError: an evaluation return is not finite.
        CrashedError: the program failed, ended before the budget, or wrote what cannot be read.
    """
    work = record.folder / "upstream"
    with _alone(record.folder / "upstream.lock") as lock, closing(record):
        if work.exists():
            shutil.rmtree(work)
        record.begin()
        record.status("running")
        upstream.repository.unpack(work / "source")
        with _started(upstream, work, lock) as process:
            try:
                status = _collect(upstream, record, work, process)
            except UnreadableError as error:
                raise CrashedError(f"{error}; the same command begins again.") from error
        _require_success(upstream, record, work, status)
        upstream.program.keep(work)
        shutil.rmtree(work / "source")
        record.finish(upstream.lineage, epochs=None)


@contextmanager
def _alone(path: Path) -> Iterator[int]:
    """Wait until a killed run has ended completely; its guard holds the lock until then."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


@contextmanager
def _started(upstream: Upstream, work: Path, lock: int) -> Iterator[subprocess.Popen[bytes]]:
    """The program under its guard, which kills it when the block or this process ends."""
    arguments, folder = upstream.program.prepare(work)
    environment = environment_of((work / "source").absolute(), os.environ)
    if upstream.device.type == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""  # the record says that this cell computes on the CPU
    command = [sys.executable, "-I", str(Path(guard.__file__)), upstream.interpreter.command, *arguments]
    with (work / "output.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[lock],
        )
    assert process.stdin is not None  # noqa: S101
    print(
        f"{upstream.program.name} {upstream.repository.commit[:12]} writes its output to "
        f"{work / 'output.log'}",
        flush=True,
    )
    try:
        yield process
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()


def _collect(upstream: Upstream, record: RunRecord, work: Path, process: subprocess.Popen[bytes]) -> int:
    """Record evaluations as they are written, until the program ends; its exit status."""
    seen = 0
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_BETWEEN_LOOKS)
        status = process.poll()
        evaluations = upstream.program.read(work, ended=status == 0)
        for evaluation in evaluations[seen:]:
            _record(evaluation, upstream.program.episodes, record)
        seen = max(seen, len(evaluations))
        if status is not None:
            return status


def _record(evaluation: UpstreamEvaluation, episodes: int, record: RunRecord) -> None:
    """Record the first evaluation at or after a point of the grid as that point's, and others as scalars.

    An evaluation before the second point is not the first point's, which is an untrained policy's.
    """
    env_steps, episode_return, length = evaluation
    record.env_steps = env_steps
    grid_step = record.reached(env_steps)
    if grid_step is None or (grid_step == 0 and env_steps > 0):
        values = {"return": episode_return} | ({} if length is None else {"length": length})
        record.scalars({"upstream_evaluation": values})
        if not math.isfinite(episode_return):
            raise DivergedError(f"an evaluation return at {env_steps} environment steps is not finite")
    else:
        record.evaluation(grid_step, env_steps, [EvaluationEntry(episode_return, length, None, episodes)])
    record.status("running")


def _require_success(upstream: Upstream, record: RunRecord, work: Path, status: int) -> None:
    """Raise CrashedError, after the end of the program's output, if it failed or ended before the budget."""
    budget, output = record.config.task.env_steps, work / "output.log"
    if status == 0 and record.env_steps >= budget:
        return
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    print("\n".join(lines[-LAST_LINES:]), file=sys.stderr)
    ending = (
        f"ended with status {status}"
        if status
        else f"ended after {record.env_steps:,} of {budget:,} environment steps"
    )
    raise CrashedError(
        f"{upstream.program.name}'s own program {ending}; its output is in {output}; the same command "
        "begins again."
    )
