"""DIMA's CPU time compared with a plain reference of the same mathematics: ratios with targets, and counts.

    python -m benchmarks --json speed.json

Both sides have the same weights, data and noise; their calls alternate on one thread. A ratio is the
reference's CPU time over ours. The reference is in float32; ours is in float32 (preset `reference`) and, if
the processor has instructions for it, in bfloat16 (preset `fast`). At the paper's sizes an imagined batch has
30 rollouts instead of 600; the epoch counts them in proportion.

Errors are relative, of one call's results (losses, rollouts, new weights of the policy) and gradients from
the same weights. A unit of a ReLU within rounding of 0 may pass a gradient on one side only, so the tests,
whose data has no such unit, hold gradients to 1e-5. For a missed target the reason is printed as measured:
FLOPs, and the operators that take our time. A comparison of our HARL cells with HARL alone and the counts
follow.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks import harl
from benchmarks.contenders import Dima, Plain
from benchmarks.counts import count_part, flops_per_epoch, host_questions_per_epoch
from benchmarks.ratios import Measured, measure, rows, whole_epoch
from benchmarks.timing import VERDICT, Elapsed, command, print_head, shown, write_result
from benchmarks.workload import PARTS, SIZES, Sizes, full_rows, random_data, sizes
from dima.learning.compute import prepare_process

FEWER_ROWS = {"paper": {"imagination": 30}, "quick": {}}
RATIO_HEAD = (
    "part | ours in | rows | ours s | reference s | ratio (least to greatest) | target | met | GFLOP"
    " | of GEMM | error | gradients"
)
COUNT_HEAD = "part | rows | operators ours | reference | GFLOP ours | reference"


def ratios(chosen: Sizes, parts: Sequence[str], pairs: int, *, targets: bool) -> list[dict[str, Any]]:
    """Measure and print row by row; with all parts, the whole epoch too."""
    data = random_data(chosen)
    print_head(RATIO_HEAD)
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
        extremes = f"{min(speeds):.0f} to {max(speeds):.0f}"
        print(f"\nGEMM in {name} between rounds: {statistics.median(speeds):.0f} GFLOP/s ({extremes})")
    if "bfloat16" not in rounds[0].gemm:
        print("\nbfloat16 was not measured: this processor only emulates it, more slowly than float32.")
    for row in found:
        if row["reason"]:
            missed = "ratio" if row["met"] is False else f"{row['gemm_target']:.0%} of GEMM"
            print(f"\nMissed: {row['part']} in {row['precision']}, {missed}: {row['reason']}.")
    return found


def _printed(found: list[dict[str, Any]], count: str) -> list[dict[str, Any]]:
    for row in found:
        cells = [
            row["part"], row["precision"], count,
            f"{row['ours_seconds']:.3f}", f"{row['reference_seconds']:.3f}",
            shown(row["ratio"], ".2f"), str(row["target"] or ""), VERDICT[row["met"]],
            f"{row['gigaflop']:.1f}", f"{row['gemm_fraction']:.0%}{_share_verdict(row)}",
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


def against_harl(task: str, pairs: int) -> list[dict[str, Any]]:
    """Updates of a MAPPO cell and of HARL alone."""
    print()
    print_head(harl.HEAD)
    found = harl.compare([task], pairs)
    for row in found:
        print(harl.table_line(row), flush=True)
    return found


def counts(chosen: Sizes, parts: Sequence[str]) -> dict[str, Any]:
    """Count and print; with all parts, the FLOPs of a whole epoch too."""
    data = random_data(chosen)
    ours, reference = Dima(chosen, data), Plain(chosen, data)
    print_head(COUNT_HEAD)
    counted = {}
    for part in parts:
        counted[part] = count_part(part, ours, reference)
        gigaflops = [f"{flops / 1e9:.2f}" for flops in counted[part].flops]
        operators = map(str, counted[part].operators)
        print(" | ".join([part, str(chosen.rows[part]), *operators, *gigaflops]), flush=True)
    found: dict[str, Any] = {
        part: count._asdict() | {"rows": chosen.rows[part]} for part, count in counted.items()
    }
    if "imagination" in counted:
        horizon = chosen.parameters.behavior.horizon
        ours_step, reference_step = (calls / horizon for calls in counted["imagination"].operators)
        found["operators_per_imagined_step"] = [ours_step, reference_step]
        words = f"{ours_step:.0f} ours, {reference_step:.0f} reference"
        print(f"\noperators per imagined step, scoring included: {words}")
    if set(parts) == set(PARTS):
        found["flops_per_epoch"] = flops_per_epoch(chosen, counted)
        epoch = [f"{value / 1e12:.2f}" for value in found["flops_per_epoch"]]
        print(f"TFLOP per epoch: {epoch[0]} ours, {epoch[1]} reference")
        found["host_synchronisations_per_epoch"] = waits = host_questions_per_epoch(updates=2)
        print(f"host synchronisations per epoch: {waits}, however many updates it has")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, write JSON."""
    parser = command("", "Compare DIMA's CPU time with a plain reference.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--sizes", choices=SIZES, default="paper", help="sizes of this grid (default: %(default)s)"
    )
    parser.add_argument(
        "--pairs", type=int, default=7, help="pairs of calls of every part (default: %(default)s)"
    )
    parser.add_argument("--counts", action="store_true", help="count FLOPs and operators, measure no time")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    prepare_process("reference", torch.device("cpu"))
    chosen = sizes(options.sizes, **FEWER_ROWS[options.sizes])
    elapsed = Elapsed()
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
            result["harl"] = against_harl(result["task"], options.pairs)
    if options.counts or everything:
        print()
        result["counts"] = counts(sizes(options.sizes, imagination=4), options.parts)
    write_result(options.json, result | elapsed.printed())


if __name__ == "__main__":
    main()
