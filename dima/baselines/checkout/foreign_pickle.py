"""Reading a pickle that another program wrote, without running what it says.

A pickle is a program that may call whatever it can name. Here it can name four things of numpy, and gets this
module's own replacements: the result has only dicts, lists, tuples, text, bytes, numbers, None and arrays of
numbers.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dima.baselines.checkout.program import UnreadableError


class TruncatedError(Exception):
    """The file ends in the middle of a pickle."""


def load_plain(path: Path) -> object:
    """The content of a pickle of plain values.

    Raises:
        TruncatedError: the file is not complete.
        UnreadableError: it holds, or would call, anything else.
    """
    with path.open("rb") as file:
        try:
            return _PlainUnpickler(file).load()
        except EOFError as error:
            raise TruncatedError(f"{path} ends in the middle of a pickle") from error
        except Exception as error:
            if "truncated" in str(error):
                raise TruncatedError(f"{path} ends in the middle of a pickle") from error
            raise UnreadableError(f"{path} is no pickle of plain values: {error}") from error


class _NumberType:
    """Replaces `numpy.dtype`: a type of numbers, and its byte order."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r"b1|[iu][1248]|f[248]", code):
            raise ValueError(f"it holds an array of {code!r}")
        self._code, self._order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = state[1] if state[1] in "<>" else "="

    def read(self, content: bytes) -> np.ndarray:
        """The numbers in `content`, in one row."""
        return np.frombuffer(content, dtype=f"{self._order}{self._code}")


class _Array:
    """Replaces `numpy.ndarray`; its values are filled in after it is made."""

    def __init__(self, *_: object) -> None:
        self.values = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, columns_first, content = state
        self.values = kind.read(content).reshape(shape, order="F" if columns_first else "C")

    def __float__(self) -> float:
        return float(self.values.reshape(-1)[0]) if self.values.size == 1 else float("nan")


def _scalar(kind: _NumberType, content: bytes) -> object:
    return kind.read(content)[0].item()


_NAMES: dict[str, Callable[..., object]] = {
    "ndarray": _Array,
    "dtype": _NumberType,
    "_reconstruct": _Array,
    "scalar": _scalar,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        homes = (
            ("numpy",)
            if name in ("ndarray", "dtype")
            else ("numpy.core.multiarray", "numpy._core.multiarray")
        )
        if name not in _NAMES or module not in homes:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _NAMES[name]
