"""DIMA's speed on a CPU beside a plain reference of the same mathematics: ratios with targets, and counts without noise.

    python -m benchmarks --json speed.json

Both sides have the same weights, data and noise, their calls take turns on one thread, and a ratio is the reference's CPU time over ours.
At the paper's sizes an imagined batch has 30 rollouts instead of 600; the epoch counts them in proportion. The errors are relative, of
one call's results (losses, rollouts, new weights of the policy) and gradients, the same weights given. A unit of a ReLU within rounding
of 0 may let a gradient through on one side alone, which is why gradients are held to 1e-5 in the tests, where none is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.contenders import Dima, Plain
from benchmarks.counts import count_part, flops_per_epoch, host_questions_per_epoch
from benchmarks.ratios import Measured, measure, row, whole_epoch
from benchmarks.workload import PARTS, SIZES, Sizes, full_rows, random_data, sizes
from dima.record.provenance import provenance

FEWER_ROWS = {"paper": {"imagination": 30}, "quick": {}}
RATIO_HEAD = "part | rows | ours s | reference s | ratio median (least to greatest) | target | met | GFLOP | of GEMM | error | of gradients"
COUNT_HEAD = "part | rows | operators ours | reference | GFLOP ours | reference"


def ratios(chosen: Sizes, parts: Sequence[str], pairs: int) -> list[dict[str, Any]]:
    """Measure and print row by row; the whole epoch where all parts were asked for."""
    data = random_data(chosen)
    print(RATIO_HEAD, "|".join(["---"] * (RATIO_HEAD.count("|") + 1)), sep="\n", flush=True)
    measured: dict[str, Measured] = {}
    rows = []
    for part in parts:
        measured[part] = measure(part, chosen, data, pairs)
        rows.append(row(part, measured[part]) | {"rows": chosen.rows[part]})
        _print_ratio(rows[-1])
    if set(parts) == set(PARTS):
        rows.append(row("epoch", whole_epoch(chosen, measured)) | {"rows": None})
        _print_ratio(rows[-1])
    speeds = [pair.gemm / 1e9 for part in measured.values() for pair in part.pairs]
    print(f"\nGEMM in float32 beside every pair: {statistics.median(speeds):.0f} GFLOP/s ({min(speeds):.0f} to {max(speeds):.0f})")
    return rows


def _print_ratio(found: dict[str, Any]) -> None:
    ratio, target = found["ratio"], found["target"]
    cells = [
        found["part"], str(found["rows"] or "all"), f"{found['ours_seconds']:.3f}", f"{found['reference_seconds']:.3f}",
        f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})", "" if target is None else f"{target}",
        {None: "", True: "yes", False: "no"}[found["met"]], f"{found['gigaflop']:.1f}", f"{found['gemm_fraction']:.0%}",
        f"{found['relative_error']:.0e}", f"{found['relative_error_of_gradients']:.0e}",
    ]  # fmt: skip
    print(" | ".join(cells), flush=True)


def counts(chosen: Sizes, parts: Sequence[str]) -> dict[str, Any]:
    """Count and print; FLOPs of a whole epoch where all parts were asked for."""
    data = random_data(chosen)
    ours, reference = Dima(chosen, data), Plain(chosen, data)
    print(COUNT_HEAD, "|".join(["---"] * (COUNT_HEAD.count("|") + 1)), sep="\n", flush=True)
    counted = {}
    for part in parts:
        counted[part] = count_part(part, ours, reference)
        operators, gigaflops = counted[part].operators, [f"{flops / 1e9:.2f}" for flops in counted[part].flops]
        print(" | ".join([part, str(chosen.rows[part]), *map(str, operators), *gigaflops]), flush=True)
    found: dict[str, Any] = {part: count._asdict() | {"rows": chosen.rows[part]} for part, count in counted.items()}
    if "imagination" in counted:
        horizon = chosen.parameters.behavior.horizon
        found["operators_per_imagined_step"] = [calls / horizon for calls in counted["imagination"].operators]
        print(
            "\noperators per imagined step, scoring included: {:.0f} ours, {:.0f} reference".format(*found["operators_per_imagined_step"])
        )
    if set(parts) == set(PARTS):
        found["flops_per_epoch"] = flops_per_epoch(chosen, counted)
        print("TFLOP per epoch: {:.2f} ours, {:.2f} reference".format(*(value / 1e12 for value in found["flops_per_epoch"])))
        found["host_synchronisations_per_epoch"] = host_questions_per_epoch(updates=2)
        print(f"host synchronisations per epoch: {found['host_synchronisations_per_epoch']}, however many updates it has")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, write them as JSON where asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="DIMA's CPU time beside a plain reference.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--sizes", choices=SIZES, default="paper", help="the paper's, or those of the grid quick (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=7, help="pairs of calls of every part (default: %(default)s)")
    parser.add_argument("--counts", action="store_true", help="count FLOPs and operator calls and measure no time")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    chosen = sizes(options.sizes, **FEWER_ROWS[options.sizes])
    started, load = time.time(), os.getloadavg()
    result: dict[str, Any] = {"sizes": options.sizes, "task": SIZES[options.sizes][0], "rows_of_the_paper": full_rows(chosen.parameters)}
    if options.counts:
        few = sizes(options.sizes, imagination=4)
        result["counts"] = counts(few, options.parts)
    else:
        result |= {"pairs": options.pairs, "ratios": ratios(chosen, options.parts, options.pairs)}
        result |= {"minutes": (time.time() - started) / 60, "load_before_and_after": [load, os.getloadavg()]}
        print(f"{result['minutes']:.1f} minutes; load {load[0]:.1f} before, {os.getloadavg()[0]:.1f} after, {os.cpu_count()} cores")
    if options.json:
        origin = provenance("cpu", None)
        named = {name: origin[name] for name in ("commit", "dirty", "hardware", "python", "versions")}
        options.json.write_text(json.dumps(named | result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
