"""The denoiser's network as one Triton kernel on one GPU: is it right, and how long does a call take?

    python -m benchmarks.fused_unet --json fused-unet.json

For each way to launch the kernels: errors of the output and of the worst gradient against the plain network
in float32, and whether 20 calls give the same bits (a race would show). Then microseconds a call without
gradients for the rows of a policy update (600) and of a prediction in training (64), and forward and backward
for the rows of a training update (192), from CUDA graphs of several calls; the same for the plain network,
eager and compiled. Exit status 1: a launch computed something else. Nothing starts after `--seconds`; what
had no time is null.

Without a GPU, `--compile-only` compiles the kernels for one, and TRITON_INTERPRET=1 with `--device cpu` shows
that the command works.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import torch

from benchmarks.fused_calls import CALLS, Bench, errors, times
from benchmarks.fused_compiled import compiled_kernels
from benchmarks.timing import command, write_result
from dima.learning.compute import prepare_process
from dima.world_model.fused.network import FusedNetwork, Launch


def name_of(launch: Launch) -> str:
    """Its sizes in words."""
    weights = str(launch.weights).removeprefix("torch.")
    widths = f"{launch.rows} rows, {launch.warps} warps, {launch.terms} products, {launch.stages} stages"
    sizes = f"{widths}, {weights}"
    return sizes if launch.precision == "tf32" else f"{sizes} products"


LAUNCHES = {
    name_of(launch): launch
    for launch in (
        Launch(),
        Launch(rows=4),
        Launch(weights=torch.float16),
        Launch(rows=16, terms=2),
        Launch(rows=4, warps=4, weights=torch.float16),
        Launch(rows=16, weights=torch.float16),
        Launch(terms=2, stages=5),
        Launch(stages=1),
    )
}
"""The project's own first, then by importance."""
EXACT = {name_of(launch): launch for launch in (Launch(terms=1, precision="ieee"),)}
MOST = {"ieee": 1e-4, "tf32": 2e-2}
"""Largest relative error, by the precision of products; float16 rounds like TF32."""
CHECKING_SHARE = 0.55
"""Share of the time for errors and for compiling."""
Result = TypeVar("Result")


def is_right(found: Mapping[str, Any] | None, launch: Launch) -> bool:
    """Whether a launch's errors are small (NaN is not) and its calls give the same bits."""
    if found is None or "failed" in found:
        return False
    return found["same_bits"] and all(
        error < MOST[launch.precision] for name, error in found.items() if name != "same_bits"
    )


def tried(measurement: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result, or the last line of the error."""
    try:
        return measurement()
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}


def measure(bench: Bench, seconds: float) -> dict[str, Any]:
    """Errors of every launch, then times of the right ones and of the plain network."""
    began = time.monotonic()
    found: dict[str, Any] = {"errors": {}, "microseconds": {}}

    def take(kind: str, name: str, measurement: Callable[[], dict[str, Any]], until: float) -> None:
        found[kind][name] = tried(measurement) if time.monotonic() - began < until else None
        print(f"[{time.monotonic() - began:5.1f} s] {kind}, {name}: {found[kind][name]}", flush=True)

    compiler = start_compiler(bench)
    prepare_process("reference", bench.device)
    # memory that no kernel has written holds NaN, which must reach no result
    torch.utils.deterministic.fill_uninitialized_memory = True  # pyright: ignore[reportAttributeAccessIssue]
    for name, launch in (EXACT | LAUNCHES).items():
        take("errors", name, lambda launch=launch: errors(bench, launch), CHECKING_SHARE * seconds)
    compiled = has_compiled(compiler, CHECKING_SHARE * seconds - (time.monotonic() - began))
    prepare_process("fast", bench.device)
    take("microseconds", "plain", lambda: times(bench, bench.plain), seconds)
    for name, launch in LAUNCHES.items():
        until = seconds if is_right(found["errors"][name], launch) else 0.0
        take("microseconds", name, lambda launch=launch: fused_times(bench, launch), until)
    if compiled:
        bench.compile_plain()
    take("microseconds", "plain, compiled", lambda: times(bench, bench.plain), seconds if compiled else 0.0)
    return found


def fused_times(bench: Bench, launch: Launch) -> dict[str, float]:
    """Microseconds of a launch's calls, with gradients if its weights are float32."""
    return times(bench, bench.fused(launch), gradients=launch.weights == torch.float32)


def start_compiler(bench: Bench) -> subprocess.Popen[bytes] | None:
    """Start a process that compiles the plain network into the caches; None on a CPU."""
    if bench.device.type == "cpu":
        return None
    command = [
        sys.executable,
        "-m",
        "benchmarks.fused_unet",
        "--warm-caches",
        "--state-dim",
        str(bench.state_dim),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def has_compiled(compiler: subprocess.Popen[bytes] | None, seconds: float) -> bool:
    """Whether the process filled the caches within these seconds; it is ended either way."""
    if compiler is None:
        return False
    with suppress(subprocess.TimeoutExpired):
        compiler.wait(max(0.0, seconds))
    compiler.kill()
    return compiler.wait() == 0


def warm_caches(state_dim: int) -> None:
    """Compile the plain network into the compiler's caches."""
    prepare_process("fast", torch.device("cuda"))
    bench = Bench(torch.device("cuda"), state_dim)
    bench.compile_plain()
    bench.each_call(bench.plain)


def compile_only(state_dim: int) -> dict[str, Any]:
    """Compile the kernels of every launch for compute capability 9.0; returns what they use."""
    found: dict[str, Any] = {}
    layout = Bench(torch.device("cpu"), state_dim).layout
    for name, launch in LAUNCHES.items():
        found[name] = compiled_kernels(FusedNetwork(layout, launch))
        print(f"{name}: {json.dumps(found[name])}", flush=True)
    return {"compiled_for": "sm_90", "kernels": found}


def refusal(device: str, *, compile_only: bool) -> str | None:
    """Why the command cannot run here; None if it can."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    try:
        version("triton")
    except PackageNotFoundError:
        return "Triton is not installed: `pip install -e '.[triton]'`, at the version that this torch needs."
    if compile_only:
        return (
            "TRITON_INTERPRET=1 is set, under which nothing is compiled: unset it." if interpreted else None
        )
    if device == "cuda":
        return (
            None
            if torch.cuda.is_available()
            else "There is no GPU: --compile-only compiles the kernels without one."
        )
    return (
        None
        if interpreted
        else "On a CPU the kernels run only in Triton's interpreter: set TRITON_INTERPRET=1."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure or compile, print, write JSON; returns 1 if a launch is wrong."""
    parser = command(".fused_unet", "Check and time the fused network on a GPU.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--state-dim", type=int, default=17, help="size of a state (default: HalfCheetah's %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=65, help="nothing starts after this (default: %(default)s)"
    )
    parser.add_argument("--compile-only", action="store_true", help="compile for an H100; needs no GPU")
    parser.add_argument("--warm-caches", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.state_dim < 1:
        parser.error(f"--state-dim must be at least 1, not {options.state_dim}")
    if reason := refusal(options.device, compile_only=options.compile_only):
        parser.error(reason)
    if options.warm_caches:
        warm_caches(options.state_dim)
        return 0
    if options.compile_only:
        found = compile_only(options.state_dim)
    else:
        bench = Bench(torch.device(options.device), options.state_dim)
        found = {"device": bench.device_name, "calls_in_a_graph": CALLS} | measure(bench, options.seconds)
    write_result(options.json, {"triton": version("triton"), "state_dim": options.state_dim} | found)
    launches = EXACT | LAUNCHES
    wrong = [
        name
        for name, taken in found.get("errors", {}).items()
        if taken is not None and not is_right(taken, launches[name])
    ]
    if wrong:
        print(f"Not the same as the plain network: {'; '.join(wrong)}.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
