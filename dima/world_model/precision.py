"""Where the preset `fast` computes in bfloat16: the transformers.

Noise levels, states, heads and losses stay in float32.
"""

from __future__ import annotations

import torch

from dima.config import Compute


def reduced_precision(compute: Compute, device: torch.device) -> torch.autocast:
    """A context in which `fast` takes matrix products in bfloat16, and `reference` changes nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=compute == "fast")
