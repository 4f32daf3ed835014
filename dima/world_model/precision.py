"""Where the preset `fast` computes in bfloat16: the transformers.

Noise levels, states, heads and losses stay in float32.
"""

from __future__ import annotations

import torch

from dima.config import Compute


def reduced_precision(compute: Compute, device: torch.device) -> torch.autocast:
    """Within it, products of matrices are taken in bfloat16 with the preset `fast`, and nothing changes with
    `reference`.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=compute == "fast")
