"""The few functions of PyTorch that the bridge uses, on numpy, where PyTorch is not installed."""

from __future__ import annotations

from typing import Any

import numpy as np

__version__ = "0.0.0+substitute"


class Tensor:
    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.shape = array.shape
        self.device = "cpu"

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> np.ndarray:
        return self._array

    def is_contiguous(self) -> bool:
        return self._array.flags["C_CONTIGUOUS"]

    def __getitem__(self, index: Any) -> Tensor:
        return Tensor(self._array[_plain(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._array[_plain(index)] = _plain(value)


def _plain(value: Any) -> Any:
    return value._array if isinstance(value, Tensor) else value


def from_numpy(array: np.ndarray) -> Tensor:
    return Tensor(array)


def as_tensor(array: np.ndarray, device: str) -> Tensor:
    assert device == "cpu"
    return Tensor(array)


def manual_seed(seed: int) -> None:
    assert isinstance(seed, int)
