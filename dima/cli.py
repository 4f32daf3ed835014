"""`dima`: the command line. `python -m dima` is the same."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dima.errors import DivergedError, LockedError, UserError
from dima.grid import CellKey, Grid, load_grid

BAD_INPUT, DIVERGED, DISK_FULL, LOCKED, INTERRUPTED = 2, 3, 4, 75, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    0: done, 2: bad input, 3: diverged, 4: the disk is full, 75: locked, 130: interrupted, 1: anything else.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except UserError as error:
        return _say(error, BAD_INPUT)
    except DivergedError as error:
        return _say(error, DIVERGED)
    except LockedError as error:
        return _say(error, LOCKED)
    except KeyboardInterrupt:
        return _say("Interrupted; the same command continues.", INTERRUPTED)
    except OSError as error:
        status = DISK_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else 1
        return _say(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.", status)
    return 0


def _say(message: object, status: int) -> int:
    print(f"dima: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dima", description="Train cells of a grid, and assemble their records.")
    commands = parser.add_subparsers(required=True, metavar="command")
    train = _command(commands, "train", "run one cell, or continue it, or find it finished", _train)
    train.add_argument("--task", required=True)
    train.add_argument("--method", required=True)
    train.add_argument("--seed", required=True, type=_seed, help="one of the grid's seeds")
    train.add_argument("--results", type=Path, default=Path("results"), help="folder of all grids (default: %(default)s)")
    train.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: the GPU where there is one")
    train.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default: %(default)s)")
    train.add_argument("--checkpoint-seconds", type=float, default=300.0, help="0: after every epoch (default: %(default)s)")
    train.add_argument("--from-scratch", action="store_true", help="begin a new attempt; the old one's log is kept")
    for name, text, function in (("tables", "write the grid's tables", _tables), ("figures", "write the grid's figures", _figures)):
        command = _command(commands, name, f"{text} from the records alone", function)
        command.add_argument(
            "--from", dest="results", type=Path, default=Path("results"), help="folder of all grids (default: %(default)s)"
        )
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, function: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)
    command.add_argument("--grid", required=True, help="a file of workflow/config without its ending")
    command.set_defaults(command=function)
    return command


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def _train(options: argparse.Namespace) -> None:
    config = load_grid(options.grid).resolve(CellKey(options.task, options.method, options.seed))
    if options.threads < 1:
        raise UserError(f"--threads must be at least 1, not {options.threads}.")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    import torch

    import envs
    from dima.cell import Execution, run_cell

    device = _device(options.device)
    torch.set_num_threads(options.threads)
    _make_deterministic(device.type)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = options.results / options.grid / "cells" / CellKey(options.task, options.method, options.seed).folder
    try:
        run_cell(config, folder, Execution(device, options.checkpoint_seconds, options.from_scratch))
    except envs.EnvironmentsError as error:
        raise UserError(f"{str(error)[0].upper()}{str(error)[1:]}.") from error


def _make_deterministic(device: str) -> None:
    """The same bits on the same device every time; without TF32, so that devices differ by rounding alone."""
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
    # or every torch.empty would be filled first
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    torch.set_float32_matmul_precision("highest")
    if device == "cuda":  # where the fused kernels of attention add up their gradients in no fixed order
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
        torch.backends.cuda.enable_cudnn_sdp(False)


def _device(name: str):  # noqa: ANN202 - torch is imported late: `dima tables` runs without it
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda was asked for, but torch finds no GPU; choose cpu or auto.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _tables(options: argparse.Namespace) -> None:
    from dima.analysis.tables import write_tables

    grid = load_grid(options.grid)
    for path in write_tables(grid, options.results, _digests(grid)):
        print(path)


def _figures(options: argparse.Namespace) -> None:
    from dima.analysis.figures import write_figures

    grid = load_grid(options.grid)
    for path in write_figures(grid, options.results, _digests(grid)):
        print(path)


def _digests(grid: Grid) -> dict[CellKey, str]:
    """What a record must have been computed from to count as this grid's."""
    return {key: grid.resolve(key).digest() for key in grid.cells if grid.has_method(key.method)}
