"""Stand-in for the spaces that HARL's code declares."""

from __future__ import annotations

import numpy as np


class Box:
    def __init__(self, low: object, high: object, shape: tuple[int, ...] | None = None) -> None:
        self.shape = np.shape(low) if shape is None else shape
        assert np.all(np.less(low, high))
