"""How fast DIMA learns on one GPU, against the targets: an epoch on four paths, a whole cell, four seeds at once, memory, parity.

    python -m benchmarks.gpu --json gpu.json

Every measurement is made by `benchmarks.gpu_learner` in a process of its own, the most important first. One that fails leaves its reason
in its place and the others go on; one for which `--minutes` leaves no time is said to be missing. The paths are the preset `reference` or
`fast`, and plain eager execution or CUDA graphs (with compiled parts where the preset has them). The epochs learn from a full replay
memory, the cell from what it has collected; its minutes are extrapolated from a few epochs. Kernels are compiled for the first path that
needs them and kept for the other processes of the command, except for the cell, which compiles its own.

Without a GPU, `--device cpu --sizes toy` shows that the command works; nothing is a graph there.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from benchmarks.contenders import relative_error
from benchmarks.gpu_learner import SIZES
from benchmarks.gpu_processes import Bench, FailedError, NoTimeError
from benchmarks.timing import shown, spread, write_result

EPOCHS = 5
CELL_STEPS = {"paper": 30_000, "toy": 400}
BEST, PLAIN, GRAPHS, AGAIN, FAST_EAGER = "fast, graphs", "reference, eager", "reference, graphs", "reference, graphs, again", "fast, eager"
CELL, TOGETHER = "cell", "four seeds"
TIMED = {
    BEST: ["--compute", "fast", "--epochs", str(EPOCHS)],
    PLAIN: ["--compute", "reference", "--eager", "--epochs", str(EPOCHS)],
    GRAPHS: ["--compute", "reference", "--epochs", str(EPOCHS)],
    AGAIN: ["--compute", "reference"],
    FAST_EAGER: ["--compute", "fast", "--eager", "--epochs", str(EPOCHS)],
}
VERDICT = {None: "", True: "yes", False: "no"}
Found = dict[str, Any]


def measure(bench: Bench, sizes: str) -> dict[str, Found]:
    """Every measurement by name, the most important first: what it found, or under `missing` or `failed` the reason why not."""
    found: dict[str, Found] = {}

    def take(name: str, measurement: Callable[[], Found]) -> None:
        started = time.monotonic()
        try:
            found[name] = measurement()
        except NoTimeError as error:
            found[name] = {"missing": str(error)}
        except FailedError as error:
            found[name] = {"failed": str(error)}
        found[name]["wall_seconds"] = time.monotonic() - started
        print(line_of(name, found[name]), flush=True)

    def timed(name: str) -> None:
        take(name, lambda: bench.start(TIMED[name]).result())

    timed(BEST)
    timed(PLAIN)
    take(CELL, lambda: bench.start(["--compute", "fast", "--cell-steps", str(CELL_STEPS[sizes])], cache="cell").result())
    take(TOGETHER, lambda: bench.together(TIMED[BEST]))
    for name in (GRAPHS, AGAIN, FAST_EAGER):
        timed(name)
    return found


def line_of(name: str, found: Found) -> str:
    """What is printed of a measurement as soon as it has ended."""
    if reason := found.get("missing") or found.get("failed"):
        return f"{name}: {reason if 'missing' in found else f'FAILED: {reason}'}"
    words = [found["path"]] if "path" in found else [f"{'with' if found['mps'] else 'without'} CUDA MPS"]
    if name == TOGETHER:
        words += [f"{len(seconds)} epochs in {sum(seconds):.2f} s" for seconds in found["epoch_seconds"]]
    if "warm_up_seconds" in found:
        words.append(f"set up {found['set_up_seconds']:.1f} s, first epochs {found['warm_up_seconds']:.1f} s")
    if "part_seconds" in found:
        words.append(f"an epoch {shown(spread(found['epoch_seconds']), '.3f')} s")
        words += [f"{part} {statistics.median(seconds):.3f} s" for part, seconds in found["part_seconds"].items()]
        words.append(f"host waits {found['host_synchronisations']['epoch']} times an epoch")
    if name == CELL:
        words.append(f"{found['env_steps']:,} steps, {found['waiting_for_evaluation_seconds']:.1f} s of them waiting for evaluations")
    return f"{name}: " + "; ".join(words + found["remarks"])


class Target(NamedTuple):
    """A number, the measurements it is made of, and its bound; without one it is only told."""

    what: str
    needs: tuple[str, ...]
    value: Callable[..., float]
    bound: float | None = None
    at_least: bool = False
    of_speed: bool = True


def epoch(found: Found) -> float:
    """Median seconds of an epoch."""
    return statistics.median(found["epoch_seconds"])


def whole_cell_minutes(found: Found) -> float:
    """Minutes of the whole cell: its beginning and end as they were, its other steps at the steady pace."""
    seconds = found["seconds"]
    pace = seconds["steady"] / found["steady_env_steps"]
    return (seconds["until_warm"] + pace * found["remaining_env_steps_of_the_whole"] + seconds["after"]) / 60


def gigabytes(found: Found) -> float:
    """Most memory held."""
    return found["peak_bytes"]["held"] / 1e9


def difference(one: Found, other: Found) -> float:
    """Largest relative error of a part's first losses, as one vector."""
    pairs = ((torch.tensor(losses), torch.tensor(other["losses"][part])) for part, losses in one["losses"].items())
    return max(relative_error({"": ours}, {"": theirs}) for ours, theirs in pairs)


def weights_differ(one: Found, other: Found) -> bool:
    """Whether the same epochs left other bits."""
    return one["weights"] != other["weights"]


TARGETS = (
    Target("seconds of an epoch, fast with graphs", (BEST,), epoch, 1.2),
    Target("plain eager epoch (reference) over it", (PLAIN, BEST), lambda plain, best: epoch(plain) / epoch(best), 5.0, at_least=True),
    Target("minutes of the whole cell, extrapolated", (CELL,), whole_cell_minutes, 30.0),
    Target(
        "four seeds at once over one", (TOGETHER, BEST),
        lambda four, one: max(map(sum, four["epoch_seconds"])) / sum(one["epoch_seconds"]), 2.0,
    ),
    Target("GB of one seed beside CUDA's context, fast with graphs", (BEST,), gigabytes, 4.0),
    Target("GB of one seed beside CUDA's context, reference with graphs", (GRAPHS,), gigabytes, 4.0),
    Target("parts that run as no graph, fast", (BEST,), lambda best: len(best["not_recorded"]), 0),
    Target("parts that run as no graph, reference", (GRAPHS,), lambda found: len(found["not_recorded"]), 0),
    Target("host synchronisations in updates", (BEST,), lambda best: best["host_synchronisations"]["updates"], 0, of_speed=False),
    Target("reference with graphs, two runs: weights differ", (GRAPHS, AGAIN), weights_differ, 0, of_speed=False),
    Target("reference, graphs and eager: weights differ", (GRAPHS, PLAIN), weights_differ),
    Target("reference, graphs and eager: first losses, relative", (GRAPHS, PLAIN), difference),
    Target("fast with graphs and plain eager: first losses, relative", (BEST, PLAIN), difference),
    Target("plain eager epoch (reference) over fast eager", (PLAIN, FAST_EAGER), lambda plain, fast: epoch(plain) / epoch(fast)),
    Target("plain eager epoch (reference) over reference with graphs", (PLAIN, GRAPHS), lambda plain, graphs: epoch(plain) / epoch(graphs)),
)  # fmt: skip


def verdicts(found: Mapping[str, Found], *, comparable: bool) -> list[Found]:
    """A row for every target; those of speed, memory and graphs have a verdict where `comparable`: the paper's sizes on a GPU."""
    rows = []
    for target in TARGETS:
        reasons = [f"{name}: {reason}" for name in target.needs if (reason := found[name].get("missing") or found[name].get("failed"))]
        value = None if reasons else float(target.value(*(found[name] for name in target.needs)))
        met = None
        if value is not None and target.bound is not None and (comparable or not target.of_speed):
            met = value >= target.bound if target.at_least else value <= target.bound
        reason = "; ".join(reasons) or None
        rows.append({"what": target.what, "value": value, "bound": target.bound, "at_least": target.at_least, "met": met, "reason": reason})
    return rows


def row_line(row: Found) -> str:
    """A row of `verdicts` as a line of the table."""
    bound = "" if row["bound"] is None else f"{'at least' if row['at_least'] else 'at most'} {row['bound']:g}"
    value = row["reason"] if row["value"] is None else f"{row['value']:.3g}"
    return " | ".join([row["what"], value, bound, VERDICT[row["met"]]])


def driver() -> str | None:
    """Version of NVIDIA's driver, where its tool is installed."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()  # noqa: S603 - fixed arguments
    return said[0] if said else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write it as JSON where asked to. Returns 1 where a measurement failed, 2 where there is no GPU, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="DIMA's speed on one GPU.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--sizes", choices=SIZES, default="paper", help="the paper's, or ones of seconds (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=9.0, help="that everything may take (default: %(default)s)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("There is no GPU here; --device cpu --sizes toy shows on a CPU that the command works.", file=sys.stderr)
        return 2
    started = time.monotonic()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = measure(Bench(options.device, options.sizes, options.minutes, Path(folder)), options.sizes)
    rows = verdicts(found, comparable=options.device == "cuda" and options.sizes == "paper")
    print("\nwhat | value | target | met", "---|---|---|---", *map(row_line, rows), sep="\n")
    done = [one for one in found.values() if "device" in one]
    machine = {name: done[0][name] if done else None for name in ("device", "torch", "cuda")} | {"driver": driver()}
    minutes = (time.monotonic() - started) / 60
    print(f"\n{', '.join(f'{name} {value}' for name, value in machine.items() if value)}; {minutes:.1f} minutes")
    if options.json:
        write_result(options.json, machine | {"sizes": options.sizes, "minutes": minutes, "targets": rows, "measurements": found})
    return int(any("failed" in one for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
