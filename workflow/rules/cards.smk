"""GPUs of this machine, which cells share: never more on a card than it holds, by the memory that was measured of their method.

A job's `gpu_percent` is its part of a card, and all cards together are the limit; a cell of a method of which nothing was measured takes a
whole one. Which card it is the cell finds out when it starts (dima/cell/cards.py). The profile `local` asks for this by `share_gpus`.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from dima.campaign.speed import Speeds
from dima.campaign.cards import percent_of_a_card
from dima.cell.cards import WHOLE, find_cards


def computes_on_gpus() -> bool:
    """Whether cells find the cards: in this Python not with a torch that was built for CPUs."""
    try:
        return IN_IMAGES or not version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False


WANTED = (
    str(config.get("share_gpus", False)).lower() == "true"
)  # Snakemake reads `false` on the command line as a word
SHARED = find_cards() if WANTED and workflow.is_main_process and computes_on_gpus() else []
GPUS = f"--gpus {' '.join(card.uuid for card in SHARED)}" if SHARED else ""
if SHARED:
    limit_resource("gpu_percent", WHOLE * len(SHARED))


@cache
def speeds_of(grid_name: str) -> Speeds:
    """What is known of the cells of a grid."""
    return Speeds(GRIDS.get(grid_name) or load_grid(grid_name))


def gpu_percent(wildcards) -> int:
    """The part of a card that a cell, or a study of it, takes; 0 where no cards are shared."""
    return percent_of_a_card(speeds_of(wildcards.grid), key_of(wildcards), SHARED) if SHARED else 0


def cells_at_once(jobs) -> int:
    """How many of the jobs the cards hold together, if all are as large as the largest; without cards as many as there are."""
    return WHOLE // max(map(percent_of_job, jobs)) * len(SHARED) if SHARED and jobs else len(jobs)


def percent_of_job(job) -> int:
    """A job's part of a card."""
    return gpu_percent(job.wildcards)


def say_who_shares(jobs) -> None:
    """One line: the cards, and how many cells of each method they hold."""
    if SHARED and jobs:
        percents = {job.wildcards.method: percent_of_job(job) for job in jobs}
        names = ", ".join(dict.fromkeys(card.name for card in SHARED))
        each = ", ".join(f"{WHOLE // percent} of {method}" for method, percent in sorted(percents.items()))
        print(
            f"Cells share {len(SHARED)} GPU{'s' if len(SHARED) > 1 else ''} ({names}): on each at most {each}.",
            flush=True,
        )
