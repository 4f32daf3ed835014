"""Random streams for a library that draws from the generators of Python, numpy and torch."""

from __future__ import annotations

import random
from types import TracebackType
from typing import Any

import numpy as np
import torch


class GlobalStreams:
    """The generators of Python, numpy and torch with one seed, in place only inside a `with` block.

    What runs outside the block neither moves these streams nor is moved by them.

    Args:
        seed: below 2^32, numpy's limit.
        device: where torch draws.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        self._outside = _capture(device)
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self._inside = _capture(device)
        _restore(self._outside, device)

    def __enter__(self) -> None:
        self._outside = _capture(self._device)
        _restore(self._inside, self._device)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._inside = _capture(self._device)
        _restore(self._outside, self._device)

    def state_dict(self) -> dict[str, Any]:
        """The position of every stream, as tensors, arrays and plain numbers."""
        return self._inside

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue every stream from where `state` was taken."""
        self._inside = state


def _capture(device: torch.device) -> dict[str, Any]:
    version, python_words, python_gauss = random.getstate()
    _, numpy_words, position, has_gauss, numpy_gauss = np.random.get_state(legacy=True)
    return {
        "python": {
            "version": version,
            "words": np.array(python_words, dtype=np.uint32),
            "gauss": python_gauss,
        },
        "numpy": {
            "words": numpy_words,
            "position": int(position),
            "has_gauss": int(has_gauss),
            "gauss": float(numpy_gauss),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def _restore(state: dict[str, Any], device: torch.device) -> None:
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    np.random.set_state(("MT19937", numpy["words"], numpy["position"], numpy["has_gauss"], numpy["gauss"]))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
