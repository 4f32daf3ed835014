"""What commands that compute have in common: the cell, the device, and errors of environments."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dima.cell.cards import take_card
from dima.config import CellConfig
from dima.config.grid import CellKey, Grid, load_grid
from dima.containers.environment import GPU
from dima.errors import UserError

if TYPE_CHECKING:  # `dima --help` runs without it
    import torch


def named_cell(options: argparse.Namespace) -> tuple[CellConfig, Path]:
    """Configuration and folder of the cell that the options name. Raises UserError if its grid lacks it."""
    return cell_of(load_grid(options.grid), named_key(options), options.results)


def named_key(options: argparse.Namespace) -> CellKey:
    """The cell that the options name."""
    return CellKey(options.task, options.method, options.seed)


def cell_of(grid: Grid, key: CellKey, results: Path) -> tuple[CellConfig, Path]:
    """Configuration and folder of a cell of the grid. Raises UserError if the grid lacks it."""
    return grid.resolve(key), results / grid.name / "cells" / key.folder


def prepared_device(options: argparse.Namespace, config: CellConfig) -> torch.device:
    """The device for the cell, after threads, GPU and kernels of this process are set up for it."""
    if options.threads < 1:
        raise UserError(f"--threads must be at least 1, not {options.threads}.")
    if options.device != "cpu":
        take_card(options.gpus, options.gpu_percent)
    import torch

    from dima.learning.compiled import keep_kernels
    from dima.learning.compute import prepare_process

    device = find_device(options.device)
    torch.set_num_threads(options.threads)
    prepare_process(config.compute, device)
    keep_kernels(options.results, config.compute, device)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return device


def find_device(name: str) -> torch.device:
    """The device for `--device`: auto, cpu or cuda. Raises UserError for cuda without a usable GPU."""
    import torch

    from dima.learning.gpu import why_no_gpu

    reason = why_no_gpu() if name != "cpu" else None
    if name == "cuda" and reason:
        raise UserError(f"--device cuda was asked for, but {reason}; choose cpu or auto.")
    if reason and GPU.exists():
        print(f"This machine's GPU is not used: {reason}.", flush=True)
    return torch.device("cpu" if reason or name == "cpu" else "cuda")


@contextmanager
def environments_errors() -> Iterator[None]:
    """Errors of environments as UserError: the user can correct them."""
    import envs

    try:
        yield
    except envs.EnvironmentsError as error:
        raise UserError(f"{str(error)[0].upper()}{str(error)[1:]}.") from error
