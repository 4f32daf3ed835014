"""How much of a GPU a cell takes, by the table of speeds.

The workflow limits by it how many cells run at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dima.campaign.speed import Speeds
from dima.cell.cards import WHOLE, Card
from dima.config.grid import CellKey

CONTEXT_GIGABYTES = 1.0
"""What CUDA needs in each process, besides what torch holds."""


def percent_of_a_card(speeds: Speeds, key: CellKey, cards: Sequence[Card]) -> int:
    """How much of the smallest card a cell takes.

    What the table of speeds says it holds and CUDA's own, or a whole one.
    """
    gigabytes = speeds.gigabytes(key)
    if gigabytes is None:
        return WHOLE
    smallest = min(card.memory for card in cards) * 2**20 / 1e9
    return min(WHOLE, math.ceil(WHOLE * (gigabytes + CONTEXT_GIGABYTES) / smallest))
