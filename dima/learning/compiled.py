"""Compiled parts: where their kernels are kept from one process to the next, and what happens where compiling
fails.
"""

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
"""In the folder of all grids: what is bound into a container, and shared by the nodes of a cluster."""
COMPILERS = ("torch._dynamo", "torch._inductor", "triton")
CODE = Path(__file__).parents[1] / "world_model"

Result = TypeVar("Result")


def keep_kernels(results: Path, compute: Compute, device: torch.device) -> None:
    """Tell torch to keep what it compiles beside the results, apart for each torch, device and state of the
    compiled code.

    Where the environment names a folder (`TORCHINDUCTOR_CACHE_DIR`, `TRITON_CACHE_DIR`), that is used.
    Kernels are code: a folder of another user is left alone, and torch keeps them where it does by itself.

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
    """A folder's name for kernels of this torch, on this device, from this code.

    No other torch finds them, nor a changed world model.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    code = hashlib.sha256()
    for path in sorted(CODE.rglob("*.py")):
        code.update(path.read_bytes())
    return re.sub(r"[^\w.+-]+", "-", f"torch-{torch.__version__}-{name}-{code.hexdigest()[:12]}")


def uncompiled_where_that_fails(call: Callable[[], Result]) -> Result:
    """The call's result; if a compiler fails in it, one line says so, and nothing in this process runs
    compiled any more.
    """
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
