"""A Slurm job with several seeds of a method (`group-components` in the profile): they are trained side by side and share what it got.

Snakemake would run the cells of a group one after another, and give each of them one processor.
"""

import os
import re
import sys

from dima.cell.sibling_seeds import SEEDS_BESIDE


def seeds_of_group() -> list[str]:
    """The seeds where this process is to run a group, whose name holds task and method; none where it runs one cell, or a workflow."""
    targets = [re.fullmatch("cell:(.*,)?seed=([0-9]+)(,.*)?", argument) for argument in sys.argv]
    seeds = sorted({target[2] for target in targets if target}, key=int)
    return seeds if len(seeds) > 1 else []


if seeds_of_group():
    os.environ[SEEDS_BESIDE] = ",".join(seeds_of_group())
