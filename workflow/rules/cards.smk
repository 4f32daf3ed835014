"""Cells share the GPUs of this machine, as many on each as fit by the memory measured of their method.

A job's `gpu_percent` is its part of a GPU, and all GPUs together are the limit; a cell of a method that was
not measured takes a whole one. The cell picks its GPU when it starts (dima/cell/cards.py). The profile
`local` turns this on by `share_gpus`.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from dima.campaign.speed import Speeds
from dima.campaign.cards import percent_of_a_card
from dima.cell.cards import WHOLE, find_cards


def computes_on_gpus() -> bool:
    """Whether cells can use GPUs: not with a torch built for CPUs, unless they run in images."""
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
    """Measured speeds and memory of the grid's cells."""
    return Speeds(GRIDS.get(grid_name) or load_grid(grid_name))


def gpu_percent(wildcards) -> int:
    """The part of a GPU that a cell, or a study of it, takes; 0 where no GPUs are shared."""
    return percent_of_a_card(speeds_of(wildcards.grid), key_of(wildcards), SHARED) if SHARED else 0


def cells_at_once(jobs) -> int:
    """How many of the jobs fit on the GPUs, if all are as large as the largest; without GPUs all of them."""
    return WHOLE // max(map(percent_of_job, jobs)) * len(SHARED) if SHARED and jobs else len(jobs)


def percent_of_job(job) -> int:
    """A job's part of a GPU."""
    return gpu_percent(job.wildcards)


def say_who_shares(jobs) -> None:
    """Print the GPUs and how many cells of each method fit on one."""
    if SHARED and jobs:
        percents = {job.wildcards.method: percent_of_job(job) for job in jobs}
        names = ", ".join(dict.fromkeys(card.name for card in SHARED))
        each = ", ".join(f"{WHOLE // percent} of {method}" for method, percent in sorted(percents.items()))
        gpus = "1 GPU" if len(SHARED) == 1 else f"{len(SHARED)} GPUs"
        print(f"Cells share {gpus} ({names}): on each at most {each}.", flush=True)
