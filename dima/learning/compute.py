"""Presets of computing: `reference` gives the same bits every time on one device, `fast` is faster."""

from __future__ import annotations

import ctypes
import os
import shutil

import torch

from dima.config import Compute, DenoiserConfig
from dima.kernels.tables import TIMES, WIDTH

FUSED_ON: frozenset[str] = frozenset()
"""Cards on which `python -m benchmarks.fused_unet` found the fused network correct and faster."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def prepare_process(compute: Compute, device: torch.device) -> None:
    """Configure torch for a preset.

    `reference`: deterministic, without TF32, so that devices differ by rounding alone. `fast`: the fastest
    kernels, with TF32 where the device has it.
    """
    reference = compute == "reference"
    if reference:
        os.environ.setdefault(
            "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
        )  # cuBLAS is deterministic only with it; read at its first use
    torch.use_deterministic_algorithms(reference, warn_only=True)
    # or every torch.empty would be filled first
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = reference, not reference
    torch.backends.cudnn.allow_tf32 = not reference
    torch.set_float32_matmul_precision("highest" if reference else "high")
    if device.type == "cuda":  # the fused kernels of attention add up their gradients in no fixed order
        torch.backends.cuda.enable_flash_sdp(not reference)
        torch.backends.cuda.enable_mem_efficient_sdp(not reference)
        torch.backends.cuda.enable_cudnn_sdp(not reference)
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Make the C allocator keep freed memory; returns whether it can.

    Training allocates the same tensors again and again: clearing their pages took longer than some of the
    arithmetic on them.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; emulation is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def why_not_compiled(compute: Compute, device: torch.device) -> str | None:
    """Why `torch.compile` is not used; None where it is."""
    if compute == "reference":
        return "the preset reference runs every operator by itself"
    if device.type != "cuda":
        return "on a CPU it makes the largest parts slower"
    try:
        import triton  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        return "triton is not installed"
    return (
        None
        if any(map(shutil.which, ("cc", "gcc", "clang")))
        else "there is no C compiler, which triton needs"
    )


def why_not_fused(config: DenoiserConfig, device: torch.device, compute: Compute) -> str | None:
    """Why the denoiser's network is not one kernel (`dima.world_model.fused`); None where it is."""
    if compute == "reference":
        return "the preset reference runs every operator by itself"
    if config.dynamics != "diffusion":
        return f"the dynamics are {config.dynamics}"
    if set(config.channels) != {WIDTH}:
        return (
            f"the kernel is for {WIDTH} channels at every level, not for "
            f"{', '.join(map(str, config.channels))}"
        )
    if config.conditioning_states + 1 != TIMES:
        return f"the kernel is for {TIMES - 1} conditioning states, not for {config.conditioning_states}"
    if device.type != "cuda":
        return "the kernel is for a GPU"
    card = torch.cuda.get_device_name(device)
    return why_not_compiled(compute, device) or (
        None if card in FUSED_ON else f"it has not been measured on {card}"
    )


def describe(
    compute: Compute,
    device: torch.device,
    *,
    graphs: bool,
    eager: bool = False,
    denoiser: DenoiserConfig | None = None,
) -> str:
    """One line: preset, precision and which paths run, with the reason for each faster one that does not.

    Args:
        compute: the preset.
        device: that learns.
        graphs: whether updates are CUDA graphs.
        eager: the method knows no faster path.
        denoiser: of a method that has one.
    """
    where = device.type if device.type != "cuda" else torch.cuda.get_device_name(device)
    if compute == "reference":
        words = "float32, the same bits every time on this device"
    else:
        slow = (
            ""
            if has_bfloat16(device)
            else f", which this {'GPU' if device.type == 'cuda' else 'processor'} emulates slowly"
        )
        words = f"bfloat16 where it is safe{slow}, TF32 or float32 elsewhere, not the same bits every time"
    if eager:
        return f"Preset {compute} on {where}: {words}; every operator runs by itself."
    without = why_not_compiled(compute, device)
    compiled = "compiled" if without is None else f"not compiled ({without})"
    captured = (
        "CUDA graphs"
        if graphs
        else f"no CUDA graphs ({'the device is a CPU' if device.type != 'cuda' else 'not wanted'})"
    )
    parts = [words, compiled, captured]
    if denoiser is not None and compute == "fast":
        layered = why_not_fused(denoiser, device, compute)
        parts.insert(
            2, "the U-Net as one kernel" if layered is None else f"the U-Net layer by layer ({layered})"
        )
    return f"Preset {compute} on {where}: {'; '.join(parts)}."
