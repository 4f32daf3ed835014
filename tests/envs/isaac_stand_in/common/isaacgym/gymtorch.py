"""Stand-in: how tensors are handed to the simulator."""

from __future__ import annotations

from typing import Any


class Unwrapped:
    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor


def unwrap_tensor(tensor: Any) -> Unwrapped:
    assert tensor.is_contiguous(), "only contiguous tensors can be handed over"
    return Unwrapped(tensor)
