"""The share of a GPU that a cell takes, by which the workflow limits how many cells run at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dima.campaign.speed import Speeds
from dima.cell.cards import WHOLE, Card
from dima.config.grid import CellKey

CONTEXT_GIGABYTES = 1.0
"""What CUDA needs in each process in addition to torch's tensors."""


def percent_of_a_card(speeds: Speeds, key: CellKey, cards: Sequence[Card]) -> int:
    """The share of the smallest card that a cell needs; a whole card if its memory was not measured."""
    gigabytes = speeds.gigabytes(key)
    if gigabytes is None:
        return WHOLE
    smallest = min(card.memory for card in cards) * 2**20 / 1e9
    return min(WHOLE, math.ceil(WHOLE * (gigabytes + CONTEXT_GIGABYTES) / smallest))
