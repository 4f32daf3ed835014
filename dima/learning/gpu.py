"""Whether a cell can use this machine's GPU, and why not."""

from __future__ import annotations

import re
import warnings

import torch

from dima.errors import UserError


def require_memory(needed: float, device: torch.device) -> None:
    """Raise UserError unless `needed` bytes are free on the GPU."""
    free, total = torch.cuda.mem_get_info(device)
    if free < needed:
        name = torch.cuda.get_device_name(device)
        has = f"{free / 1e9:.1f} of the {total / 1e9:.1f} GB of {name} are free"
        raise UserError(
            f"This cell needs about {needed / 1e9:.1f} GB on the GPU, and {has}: take another GPU, or "
            "--device cpu."
        )


def why_no_gpu() -> str | None:
    """Why torch computes on no GPU here, as part of a sentence; None where it can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch warns of is said below
        if torch.cuda.is_available():
            return None
    ours = torch.version.cuda
    if ours is None:
        return f"torch finds no GPU ({torch.__version__} is built without CUDA)"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        too_old = re.search(r"driver on your system is too old \(found version (\d+)\)", str(error))
        if too_old:
            major, minor = divmod(int(too_old[1]), 1000)
            driver = f"{major}.{minor // 10}"
            update = f"update it, or install a torch built for CUDA {driver} or older"
            return (
                f"torch {torch.__version__} needs a driver for CUDA {ours}, and this machine's is for CUDA "
                f"{driver}: {update}"
            )
    return "torch finds no GPU"
