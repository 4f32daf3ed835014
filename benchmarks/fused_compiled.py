"""Compile the fused network's kernels without a GPU: registers, spills, shared memory, instructions."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch

from dima.world_model.fused.network import FusedNetwork

HOPPER = 90
KERNELS = {"forward": "forward_kernel", "backward": "backward_kernel", "weights": "weight_kernel"}
"""Modules of `dima.kernels` and their kernels."""


TYPES = {torch.float32: "fp32", torch.float16: "fp16", torch.int32: "i32"}


class Recorder:
    """Replaces a kernel and records the arguments of its launches."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.launches: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return self._launch

    def _launch(self, *arguments: Any, **named: Any) -> None:
        options = {name: named.pop(name) for name in ("num_warps", "num_stages")}
        self.launches.append((dict(zip(self.kernel.arg_names, arguments, strict=False)) | named, options))


@contextmanager
def recorded() -> Iterator[dict[str, Recorder]]:
    """Record launches instead of running kernels."""
    with ExitStack() as patches:
        recorders = {}
        for name, kernel in KERNELS.items():
            module = import_module(f"dima.kernels.{name}")
            recorders[name] = Recorder(getattr(module, kernel))
            patches.enter_context(patch.object(module, kernel, recorders[name]))
        yield recorders


def compiled_kernels(network: FusedNetwork, capability: int = HOPPER) -> dict[str, dict[str, Any]]:
    """What the kernels of a training pass and of a call without gradients use, by name.

    Args:
        network: on a CPU.
        capability: ten times the GPU's compute capability.
    """
    signal, modulation = torch.zeros(5, 4, network.layout.sizes[-1]), torch.zeros(5, network.layout.modulated)
    with recorded() as recorders, torch.no_grad():
        packed = network.pack()
        network.run(signal, modulation, packed, keep=False)
        out, kept = network.run(signal, modulation, packed, keep=True)
        network.gradients(out, signal, modulation, packed, kept, of_signal=False)
    found = {}
    for name, recorder in recorders.items():
        for arguments, options in recorder.launches:
            full_name = f"{name}, kept" if arguments.get("KEEP") else name
            found[full_name] = compiled(recorder.kernel, arguments, options, capability)
    return found


def compiled(
    kernel: Any, arguments: Mapping[str, Any], options: Mapping[str, Any], capability: int
) -> dict[str, Any]:
    """What one kernel uses, for arguments of these types."""
    import triton  # pyright: ignore[reportMissingImports]
    from triton.backends.compiler import GPUTarget  # pyright: ignore[reportMissingImports]
    from triton.compiler import ASTSource  # pyright: ignore[reportMissingImports]

    signature, constants, attributes = {}, {}, {}
    for index, parameter in enumerate(kernel.params):
        value = arguments[parameter.name]
        if parameter.is_constexpr:
            signature[parameter.name], constants[(index,)] = "constexpr", value
            continue
        signature[parameter.name] = f"*{TYPES[value.dtype]}" if isinstance(value, torch.Tensor) else "i32"
        if isinstance(value, torch.Tensor) or (value % 16 == 0 and not parameter.do_not_specialize):
            attributes[(index,)] = [["tt.divisibility", 16]]
    began = time.perf_counter()
    binary = triton.compile(
        ASTSource(kernel, signature, constants, attributes), GPUTarget("cuda", capability, 32), dict(options)
    )
    ptx = binary.asm["ptx"]
    return {
        "seconds": time.perf_counter() - began,
        "shared_bytes": binary.metadata.shared,
        "barriers": len(re.findall(r"bar\.sync", ptx)),
        "matrix_instructions": len(re.findall(r"mma\.sync|wgmma\.mma_async", ptx)),
        "copies_ahead": len(re.findall(r"cp\.async", ptx)),
        "incoherent_loads": len(re.findall(r"ld\.global\.nc", ptx)),
        **assembled(ptx, capability),
    }


def assembled(ptx: str, capability: int) -> dict[str, int]:
    """Registers a thread and spilled bytes, by Triton's assembler."""
    import triton  # pyright: ignore[reportMissingImports]

    assembler = Path(triton.__file__).parent / "backends/nvidia/bin/ptxas"
    with TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx, encoding="utf-8")
        command = [
            str(assembler),
            "-v",
            f"--gpu-name=sm_{capability}a",
            str(source),
            "-o",
            str(source.with_suffix(".o")),
        ]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers, spilled = (
        re.search(r"Used (\d+) registers", said),
        re.search(r"(\d+) bytes spill stores", said),
    )
    if registers is None or spilled is None:
        raise ValueError(f"the assembler did not say what the kernel uses: {said}")
    return {"registers": int(registers[1]), "spilled_bytes": int(spilled[1])}
