"""DIMA's speed on a CPU beside a plain reference of the same mathematics.

Ratios with targets, and counts without noise.

    python -m benchmarks --json speed.json

Both sides have the same weights, data and noise, their calls take turns on one thread, and a ratio is the
reference's CPU time over ours. The reference is in float32; ours is in float32 (preset `reference`) and,
where the processor has instructions for it, in bfloat16 (preset `fast`). At the paper's sizes an imagined
batch has 30 rollouts instead of 600; the epoch counts them in proportion. The errors are relative, of one
call's results (losses, rollouts, new weights of the policy) and gradients, the same weights given. A unit of
a ReLU within rounding of 0 may let a gradient through on one side alone, which is why gradients are held to
1e-5 in the tests, where none is. A target that is missed has its reason below, as measured: FLOPs, and what
our time goes into. Beside all that stand our HARL cells against HARL alone, and the counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import harl
from benchmarks.contenders import Dima, Plain
from benchmarks.counts import count_part, flops_per_epoch, host_questions_per_epoch
from benchmarks.ratios import Measured, measure, rows, whole_epoch
from benchmarks.timing import shown, write_result
from benchmarks.workload import PARTS, SIZES, Sizes, full_rows, random_data, sizes
from dima.learning.compute import prepare_process

FEWER_ROWS = {"paper": {"imagination": 30}, "quick": {}}
RATIO_HEAD = "part | ours in | rows | ours s | reference s | ratio (least to greatest) | target | met | GFLOP | of GEMM | error | gradients"
VERDICT = {None: "", True: "yes", False: "no"}
COUNT_HEAD = "part | rows | operators ours | reference | GFLOP ours | reference"


def ratios(chosen: Sizes, parts: Sequence[str], pairs: int, *, targets: bool) -> list[dict[str, Any]]:
    """Measure and print row by row; the whole epoch where all parts were asked for."""
    data = random_data(chosen)
    _print_head(RATIO_HEAD)
    measured: dict[str, Measured] = {}
    found = []
    for part in parts:
        measured[part] = measure(part, chosen, data, pairs)
        found += [
            row | {"rows": chosen.rows[part]}
            for row in _printed(rows(part, measured[part], targets=targets), str(chosen.rows[part]))
        ]
    if set(parts) == set(PARTS):
        found += [
            row | {"rows": None}
            for row in _printed(rows("epoch", whole_epoch(chosen, measured), targets=targets), "all")
        ]
    rounds = [one for part in measured.values() for one in part.rounds]
    for name in rounds[0].gemm:
        speeds = [one.gemm[name] / 1e9 for one in rounds]
        print(
            f"\nGEMM in {name} beside every round: {statistics.median(speeds):.0f} GFLOP/s ({min(speeds):.0f} to {max(speeds):.0f})"
        )
    if "bfloat16" not in rounds[0].gemm:
        print(
            "\nbfloat16 was not measured: this processor has no instructions for it, and emulating them is slower than float32."
        )
    for row in found:
        if row["reason"]:
            missed = "ratio" if row["met"] is False else f"{row['gemm_target']:.0%} of GEMM"
            print(f"\nMissed: {row['part']} in {row['precision']}, {missed}: {row['reason']}.")
    return found


def _print_head(head: str) -> None:
    print(head, "|".join(["---"] * (head.count("|") + 1)), sep="\n", flush=True)


def _printed(found: list[dict[str, Any]], count: str) -> list[dict[str, Any]]:
    for row in found:
        cells = [
            row["part"], row["precision"], count, f"{row['ours_seconds']:.3f}", f"{row['reference_seconds']:.3f}",
            shown(row["ratio"], ".2f"),
            str(row["target"] or ""), VERDICT[row["met"]], f"{row['gigaflop']:.1f}", f"{row['gemm_fraction']:.0%}" + _share_verdict(row),
            f"{row['relative_error']:.0e}", f"{row['relative_error_of_gradients']:.0e}",
        ]  # fmt: skip
        print(" | ".join(cells), flush=True)
    return found


def _share_verdict(row: dict[str, Any]) -> str:
    return (
        ""
        if row["gemm_target"] is None
        else f" (target {row['gemm_target']:.0%}: {VERDICT[row['gemm_met']]})"
    )


def beside_harl(task: str, pairs: int) -> list[dict[str, Any]]:
    """Updates of a MAPPO cell and of HARL alone."""
    print()
    _print_head(harl.HEAD)
    found = harl.compare([task], pairs)
    for row in found:
        print(harl.table_line(row), flush=True)
    return found


def counts(chosen: Sizes, parts: Sequence[str]) -> dict[str, Any]:
    """Count and print; FLOPs of a whole epoch where all parts were asked for."""
    data = random_data(chosen)
    ours, reference = Dima(chosen, data), Plain(chosen, data)
    _print_head(COUNT_HEAD)
    counted = {}
    for part in parts:
        counted[part] = count_part(part, ours, reference)
        operators, gigaflops = (
            counted[part].operators,
            [f"{flops / 1e9:.2f}" for flops in counted[part].flops],
        )
        print(" | ".join([part, str(chosen.rows[part]), *map(str, operators), *gigaflops]), flush=True)
    found: dict[str, Any] = {
        part: count._asdict() | {"rows": chosen.rows[part]} for part, count in counted.items()
    }
    if "imagination" in counted:
        horizon = chosen.parameters.behavior.horizon
        found["operators_per_imagined_step"] = [calls / horizon for calls in counted["imagination"].operators]
        print(
            "\noperators per imagined step, scoring included: {:.0f} ours, {:.0f} reference".format(
                *found["operators_per_imagined_step"]
            )
        )
    if set(parts) == set(PARTS):
        found["flops_per_epoch"] = flops_per_epoch(chosen, counted)
        print(
            "TFLOP per epoch: {:.2f} ours, {:.2f} reference".format(
                *(value / 1e12 for value in found["flops_per_epoch"])
            )
        )
        found["host_synchronisations_per_epoch"] = host_questions_per_epoch(updates=2)
        print(
            f"host synchronisations per epoch: {found['host_synchronisations_per_epoch']}, however many updates it has"
        )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, write them as JSON where asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="DIMA's CPU time beside a plain reference."
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--sizes",
        choices=SIZES,
        default="paper",
        help="the paper's, or those of the grid quick (default: %(default)s)",
    )
    parser.add_argument(
        "--pairs", type=int, default=7, help="pairs of calls of every part (default: %(default)s)"
    )
    parser.add_argument(
        "--counts", action="store_true", help="count FLOPs and operator calls and measure no time"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    prepare_process("reference", torch.device("cpu"))
    chosen = sizes(options.sizes, **FEWER_ROWS[options.sizes])
    started, load = time.time(), os.getloadavg()
    result: dict[str, Any] = {
        "sizes": options.sizes,
        "task": SIZES[options.sizes][0],
        "rows_of_the_paper": full_rows(chosen.parameters),
    }
    everything = set(options.parts) == set(PARTS)
    if not options.counts:
        result |= {
            "pairs": options.pairs,
            "ratios": ratios(chosen, options.parts, options.pairs, targets=options.sizes == "paper"),
        }
        if everything:
            result["harl"] = beside_harl(result["task"], options.pairs)
    if options.counts or everything:
        print()
        result["counts"] = counts(sizes(options.sizes, imagination=4), options.parts)
    result |= {"minutes": (time.time() - started) / 60, "load_before_and_after": [load, os.getloadavg()]}
    print(
        f"\n{result['minutes']:.1f} minutes; load {load[0]:.1f} before, {os.getloadavg()[0]:.1f} after, {os.cpu_count()} cores"
    )
    if options.json:
        write_result(options.json, result)


if __name__ == "__main__":
    main()
