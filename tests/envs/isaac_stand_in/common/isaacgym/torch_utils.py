"""Stand-in."""

from __future__ import annotations

import torch


def to_torch(values: object, dtype: object = torch.float32, device: str = "cpu") -> torch.Tensor:
    return torch.tensor(values, dtype=dtype, device=device)
