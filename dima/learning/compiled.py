"""Compiled parts: where their kernels are cached, and what happens if compiling fails."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from dima.config import Compute
from dima.learning.compute import why_not_compiled

FOLDER = ".compiled"
"""Below the folder of all grids, which containers mount and the nodes of a cluster share."""
COMPILERS = ("torch._dynamo", "torch._inductor", "triton")
CODE = Path(__file__).parents[1] / "world_model"

Result = TypeVar("Result")


def keep_kernels(results: Path, compute: Compute, device: torch.device) -> None:
    """Make torch cache compiled kernels with the results, by torch version, device and code.

    `TORCHINDUCTOR_CACHE_DIR` and `TRITON_CACHE_DIR` take precedence. Kernels are code: a folder of another
    user is not used, and torch caches them at its default place.

    Args:
        results: the folder of all grids.
        compute: preset of computing.
        device: that it is compiled for.
    """
    folder = (results / FOLDER).absolute()
    if why_not_compiled(compute, device) is None and not (
        folder.exists() and folder.stat().st_uid != os.getuid()
    ):
        place = folder / kernels_of(device)
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(place / "inductor"))
        os.environ.setdefault("TRITON_CACHE_DIR", str(place / "triton"))


def kernels_of(device: torch.device) -> str:
    """The name of a folder for kernels of this torch, on this device, of the present world model's code."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    code = hashlib.sha256()
    for path in sorted(CODE.rglob("*.py")):
        code.update(path.read_bytes())
    return re.sub(r"[^\w.+-]+", "-", f"torch-{torch.__version__}-{name}-{code.hexdigest()[:12]}")


def uncompiled_where_that_fails(call: Callable[[], Result]) -> Result:
    """The call's result; if a compiler fails in it, report that and stop compiling in this process."""
    try:
        return call()
    except Exception as error:
        if not any(kind.__module__.startswith(COMPILERS) for kind in type(error).__mro__):
            raise
        cause = getattr(error, "inner_exception", error)
        reason = next(
            (line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__
        )
        print(f"Not compiled, so training is slower: {reason}", flush=True)
    torch.compiler.set_stance("force_eager")
    return call()
